"""The three figures of an evaluation: ROC, confusion matrix and reliability.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from deeppneumonia.evaluation.answers import Answers
from deeppneumonia.evaluation.bootstrap import REPEATS
from deeppneumonia.evaluation.calibration import ReliabilityCurve, reliability_curve
from deeppneumonia.evaluation.curves import GRID, RocCurve, roc_with_band
from deeppneumonia.evaluation.metrics import score
from deeppneumonia.evaluation.patients import is_answered
from deeppneumonia.files import replacing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":", "-", "--")
GREY = "#666666"
FONT_PT = 12
DOTS_PER_INCH = 150


def save_roc(
    answers: Answers,
    class_names: Sequence[str],
    path: Path,
    *,
    title: str = "ROC",
    repeats: int = REPEATS,
    seed: int = 0,
) -> None:
    """Draw the ROC curve with its 95 % band into a PNG: of class 0, or of each of three or more."""
    shown = range(1 if len(class_names) == 2 else len(class_names))
    figure, axes = _figure(title)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for index in shown:
        curve = roc_with_band(answers, index, repeats=repeats, seed=seed)
        if curve is not None:
            _draw_curve(axes, curve, class_names[index], index)
    mistake = f"{class_names[1]} taken for {class_names[0]}" if len(shown) == 1 else "false alarms"
    axes.set_xlabel(f"1 − specificity ({mistake})", fontsize=FONT_PT)
    axes.set_ylabel("sensitivity", fontsize=FONT_PT)
    unit_square(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=FONT_PT - 1, frameon=False)
    save_figure(figure, path)


def save_confusion(
    answers: Answers, class_names: Sequence[str], path: Path, *, title: str = "Confusion matrix"
) -> None:
    """Draw the counts of the answered rows and their share of the true class into a PNG."""
    matrix = score(answers.labels, answers.probabilities, class_names).confusion
    figure, axes = _figure(title)
    draw_matrix(axes, matrix, class_names, font_pt=FONT_PT)
    save_figure(figure, path)


def save_reliability(answers: Answers, path: Path, *, title: str = "Reliability") -> None:
    """Draw how often the decision was right against how sure it was, with counts, into a PNG."""
    figure = Figure(figsize=(6, 6.6), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.set_title(title, fontsize=FONT_PT + 2)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect calibration")
    if is_answered(answers.probabilities).any():
        _draw_reliability(upper, lower, reliability_curve(answers.labels, answers.probabilities))
    unit_square(upper, aspect="auto")
    upper.set_ylabel("share of right predictions", fontsize=FONT_PT)
    upper.legend(loc="upper left", fontsize=FONT_PT - 1, frameon=False)
    lower.set_xlabel("probability of the predicted class", fontsize=FONT_PT)
    lower.set_ylabel("number", fontsize=FONT_PT)
    lower.tick_params(labelsize=FONT_PT - 1)
    lower.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def draw_matrix(
    axes: Any, matrix: NDArray[np.floating], class_names: Sequence[str], *, font_pt: int
) -> None:
    """Counts (C, C), rows the truth, each with its share of the true class."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)  # 1.25: the darkest blue still reads
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.75 else "black"
        text = f"{matrix[row, column]:.4g}\n{share:.0%}"  # an undecided patient counts in parts
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=font_pt + 3)
    places = range(len(class_names))
    rows = [f"{name}\n(n = {n:.0f})" for name, n in zip(class_names, totals[:, 0], strict=True)]
    axes.set_xticks(places, class_names, fontsize=font_pt)
    axes.set_yticks(places, rows, fontsize=font_pt)
    axes.set_xlabel("predicted", fontsize=font_pt)
    axes.set_ylabel("true", fontsize=font_pt)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curve(axes: Any, curve: RocCurve, name: str, index: int) -> None:
    """One curve with its band, named with its AUC."""
    colour, line = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
    auc = curve.auc
    label = f"{name}: AUC {auc['value']:.2f}"
    if auc["low"] is not None:
        label += f" ({auc['low']:.2f} to {auc['high']:.2f})"
        axes.fill_between(GRID, *curve.band, color=colour, alpha=0.15, linewidth=0)
    corners = (curve.false_positive_rate, curve.true_positive_rate)
    axes.plot(*corners, color=colour, linestyle=line, linewidth=2, label=label)


def _draw_reliability(upper: Any, lower: Any, curve: ReliabilityCurve) -> None:
    """The curve above, the number of rows in each bin below."""
    filled = curve.counts > 0
    confidence, accuracy = curve.confidence[filled], curve.accuracy[filled]
    line = {"color": COLOURS[0], "marker": "o", "markersize": 7, "linewidth": 2}
    upper.plot(confidence, accuracy, label="found", clip_on=False, **line)
    upper.vlines(confidence, accuracy, confidence, color=COLOURS[1], linewidth=1.5, label="gap")
    lower.bar(
        curve.edges[:-1],
        curve.counts,
        width=np.diff(curve.edges),
        align="edge",
        color=COLOURS[0],
        edgecolor="white",
    )


def _figure(title: str) -> tuple[Figure, Any]:
    """A square white figure with one set of axes."""
    figure = Figure(figsize=(6, 6), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=FONT_PT + 2)
    return figure, axes


def unit_square(axes: Any, aspect: str = "equal") -> None:
    """Both axes from 0 % to 100 %, with a light grid and no box."""
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect(aspect)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize=FONT_PT - 1)
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)  # draws without a window, whatever backend the caller has set
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png")
