"""The two figures of a comparison: ROC curves of all networks, and their confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deeppneumonia.evaluation.curves import GRID, on_grid, roc_points
from deeppneumonia.evaluation.metrics import Floats, rank_auc
from deeppneumonia.evaluation.plots import (
    COLOURS,
    DOTS_PER_INCH,
    FONT_PT,
    GREY,
    draw_matrix,
    save_figure,
    unit_square,
)

LINES = ("-", "--", "-.")
MATRICES_IN_A_ROW = 4


def save_roc_of_all(
    labels: NDArray[np.integer],
    answers: Mapping[str, NDArray[np.floating]],
    class_names: Sequence[str],
    path: Path,
    *,
    title: str,
    baseline: str = "",
) -> None:
    """Draw the ROC curve of every network into a PNG: of class 0, or a panel for each of three.

    Args:
        labels: (P,) class index of each patient.
        answers: for each network (R, P, C); the curve is the mean over the R repeats.
        class_names: C words.
        path: the PNG.
        title: above the figure.
        baseline: the name that is drawn in grey, behind the others.
    """
    shown = range(1 if len(class_names) == 2 else len(class_names))
    size = (7, 7) if len(shown) == 1 else (6 * len(shown), 6.2)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    figure.suptitle(title, fontsize=FONT_PT + 2)
    for c, axes in zip(shown, panels, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        styles = _styles(answers, baseline)
        for name, probabilities in answers.items():
            _draw(axes, labels == c, probabilities[:, :, c].astype(np.float64), name, styles[name])
        others = class_names[1] if len(shown) == 1 else "another class"
        axes.set_xlabel(f"1 − specificity ({others} taken for {class_names[c]})", fontsize=FONT_PT)
        axes.set_ylabel(f"sensitivity ({class_names[c]})", fontsize=FONT_PT)
        unit_square(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", fontsize=FONT_PT - 2, frameon=False)
    save_figure(figure, path)


def save_confusions(
    matrices: Mapping[str, Sequence[Sequence[float]]],
    class_names: Sequence[str],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw the confusion matrix (C, C) of every network into one PNG; rows are the truth."""
    columns = min(MATRICES_IN_A_ROW, len(matrices))
    rows = -(-len(matrices) // columns)
    figure = Figure(
        figsize=(3.4 * columns, 3.5 * rows + 0.4),
        dpi=DOTS_PER_INCH,
        facecolor="white",
        layout="constrained",
    )
    figure.suptitle(title, fontsize=FONT_PT + 2)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=False):
        draw_matrix(axes, np.asarray(matrix, np.float64), class_names, font_pt=FONT_PT - 2)
        axes.set_title(name, fontsize=FONT_PT)
    for axes in panels[len(matrices) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def _styles(names: Mapping[str, object], baseline: str) -> dict[str, dict[str, Any]]:
    """A colour and a line for each network; grey and behind for the baseline."""
    networks = [name for name in names if name != baseline]
    styles: dict[str, dict[str, Any]] = {
        name: {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number // len(COLOURS) % len(LINES)],
            "linewidth": 1.8,
        }
        for number, name in enumerate(networks)
    }
    return styles | {baseline: {"color": GREY, "linewidth": 3, "alpha": 0.6, "zorder": 1}}


def _draw(
    axes: Any, positive: NDArray[np.bool_], scores: Floats, name: str, style: Mapping[str, Any]
) -> None:
    """One curve (mean over repeats (R, P)), named with its mean AUC; none without both kinds."""
    if positive.all() or not positive.any():
        return
    ones = np.ones((1, len(positive)))
    auc = float(np.mean([rank_auc(positive, one, ones)[0] for one in scores]))
    if len(scores) == 1:
        false_rate, true_rate = (rate[0] for rate in roc_points(positive, scores[0], ones))
    else:
        points = [roc_points(positive, one, ones) for one in scores]
        false_rate = np.concatenate([[0], GRID])
        curves = [on_grid(false[0], true[0]) for false, true in points]
        true_rate = np.concatenate([[0], np.mean(curves, axis=0)])
    axes.plot(false_rate, true_rate, label=f"{name}: AUC {auc:.3f}", **style)
