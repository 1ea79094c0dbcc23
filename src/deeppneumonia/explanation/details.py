"""Which of the places that a network looked at may be shown as its reason.

A place is shown when its own answer agrees with the answer for the slice, and is sure of it. A
healthy slice has no place to show: nothing is drawn where nothing was found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Box

DETAIL_LEVEL = 0.8
"""The published level (Song et al. 2021): a detail counts when its probability is above this."""


@dataclass(frozen=True, slots=True)
class UsedDetail:
    """A place that agreed with the answer for its slice."""

    box: Box
    """In picture pixels; may reach beyond the picture."""

    weight: float
    """The detail head's probability for the slice's predicted class, `level` to 1."""


def used_details(
    boxes: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    predicted: int,
    *,
    healthy: int | None,
    level: float = DETAIL_LEVEL,
) -> tuple[UsedDetail, ...]:
    """Choose the details of one slice that are shown, the heaviest first.

    Args:
        boxes: (K, 4): x0, y0, x1, y1 in picture pixels.
        probabilities: (K, C): the detail head's softmax for each box.
        predicted: class index of the slice's answer.
        healthy: class index of the healthy lung; None where every class is a disease.
        level: shown is what weighs more than this.

    Returns:
        None to K details; empty for a healthy slice and where no detail agrees.

    Raises:
        ValueError: if the arrays do not fit together.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(probabilities) != len(boxes):
        raise ValueError(
            f"boxes (K, 4) and probabilities (K, C) do not fit: {boxes.shape}, "
            f"{probabilities.shape}"
        )
    if not 0 <= predicted < probabilities.shape[1]:
        raise ValueError(f"predicted must be 0 to {probabilities.shape[1] - 1}, not {predicted}")
    if predicted == healthy:
        return ()
    weights = probabilities[:, predicted]
    heaviest_first = np.argsort(-weights, kind="stable")
    return tuple(
        UsedDetail(Box(*boxes[index].tolist()), float(weights[index]))
        for index in heaviest_first
        if weights[index] > level
    )
