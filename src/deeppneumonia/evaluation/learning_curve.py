"""How much n labelled patients help: AUC on the others, over many draws of n, as numbers and PNG.

Each draw gives answers for the patients that it did not use. The AUC is the mean over the draws;
its interval comes from drawing the patients again, all draws taking the same patients.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.bootstrap import Interval, interval, over_draws
from deeppneumonia.evaluation.metrics import Floats, weighted_auc
from deeppneumonia.evaluation.patients import is_answered

REPEATS = 500


def mean_auc(
    labels: NDArray[np.integer], answers: Sequence[Floats], *, repeats: int = REPEATS, seed: int = 0
) -> Interval:
    """Mean AUC of several sets of answers, each for some of the same patients.

    Args:
        labels: (P,) class indices 0 to C - 1, all of them present.
        answers: (P, C) each; a row of NaN is a patient who was not asked. Every set must hold
            patients of every class.
        repeats: draws of the patient bootstrap.
        seed: of the draws.
    """
    return _interval_of(labels, [(one, None) for one in answers], repeats, seed)


def mean_auc_gain(
    labels: NDArray[np.integer],
    answers: Sequence[Floats],
    others: Sequence[Floats],
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """The same for the difference: `answers` minus `others`, set by set, on the same patients."""
    return _interval_of(labels, list(zip(answers, others, strict=True)), repeats, seed)


def _interval_of(
    labels: NDArray[np.integer],
    sets: Sequence[tuple[Floats, Floats | None]],
    repeats: int,
    seed: int,
) -> Interval:
    whole: NDArray[np.int64] = np.asarray(labels).astype(np.int64)
    value, drawn = over_draws(
        whole, lambda weights: _mean_over_sets(whole, sets, weights), repeats=repeats, seed=seed
    )
    # A draw may leave out every held-out patient of a class in all sets: it says nothing.
    return interval(value, drawn[~np.isnan(drawn)])


def _mean_over_sets(
    labels: NDArray[np.int64], sets: Sequence[tuple[Floats, Floats | None]], weights: Floats
) -> Floats:
    """(R,): mean over the sets that are defined under the weights (R, P)."""
    found = []
    for answers, others in sets:
        auc = _auc(labels, answers, weights)
        found.append(auc if others is None else auc - _auc(labels, others, weights))
    stacked = np.stack(found)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    mean: Floats = np.divide(
        total, known.sum(axis=0), out=np.full(len(weights), np.nan), where=known.any(axis=0)
    )
    return mean


def _auc(labels: NDArray[np.int64], answers: Floats, weights: Floats) -> Floats:
    """(R,): AUC of the patients who were asked."""
    asked = is_answered(answers)
    return weighted_auc(labels[asked], answers[asked], weights[:, asked])


def save_learning_curve(
    points: Sequence[Mapping[str, Any]], path: Path, *, title: str = "Fine-tuning"
) -> None:
    """Draw AUC against labelled patients, before and after, with intervals, into a PNG.

    Args:
        points: {"patients", "before", "after", "gain"}, the last three Interval.
        path: of the PNG.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    from deeppneumonia.evaluation.plots import COLOURS, DOTS_PER_INCH, FONT_PT, GREY, save_figure

    figure = Figure(figsize=(7, 6.6), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.set_title(title, fontsize=FONT_PT + 2)
    places = np.arange(len(points))
    for name, shift, colour, mark in (
        ("before", -0.08, GREY, "s"),
        ("after", 0.08, COLOURS[0], "o"),
    ):
        label = f"{name} fine-tuning"
        _draw(upper, places + shift, [p[name] for p in points], colour, mark, label)
    upper.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    upper.set_ylabel("AUC on the other patients", fontsize=FONT_PT)
    upper.legend(fontsize=FONT_PT - 1, frameon=False, loc="best")
    _draw(lower, places, [p["gain"] for p in points], COLOURS[1], "o", "")
    lower.axhline(0, color=GREY, linewidth=1, linestyle=":")
    lower.set_ylabel("gain in AUC", fontsize=FONT_PT)
    lower.set_xlabel("labelled patients of the new hospital", fontsize=FONT_PT)
    lower.set_xticks(places, [str(p["patients"]) for p in points])
    for axes in (upper, lower):
        axes.tick_params(labelsize=FONT_PT - 1)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.12)
    save_figure(figure, path)


def _draw(
    axes: Any, places: Any, intervals: Sequence[Interval], colour: str, mark: str, label: str
) -> None:
    """Points joined by a line, with whiskers."""
    value, low, high = (
        np.array([np.nan if each[end] is None else each[end] for each in intervals], float)
        for end in ("value", "low", "high")
    )
    axes.vlines(places, low, high, color=colour, linewidth=2, alpha=0.55)
    axes.plot(places, value, color=colour, marker=mark, markersize=8, linewidth=2, label=label)
