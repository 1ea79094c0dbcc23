"""From slices to the patient: the mean of the slices' probabilities, calibrated, and key slices.

Source: Song et al. 2021 (mean pooling, three key slices); Guo et al. 2017 (temperature).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from deeppneumonia.domain import Diagnosis, SlicePrediction

KEY_SLICES = 3

SMALLEST_PROBABILITY = 1e-7
"""Below what a float32 softmax can tell from 0; the same as in `evaluation.calibration`, where
temperatures are fitted, or a very sure patient would get another answer than was scored."""


def mean_probabilities(slices: Sequence[SlicePrediction]) -> dict[str, float]:
    """The arithmetic mean over slices, label by label; ValueError when there is no slice."""
    if not slices:
        raise ValueError("a patient without slices has no mean")
    return {
        label: float(np.mean([one.probabilities[label] for one in slices]))
        for label in slices[0].probabilities
    }


def calibrate(probabilities: Mapping[str, float], temperature: float) -> dict[str, float]:
    """softmax(log p / T): T above 1 makes an overconfident network humbler; 1 changes nothing.

    >>> {k: round(v, 3) for k, v in calibrate({"covid": 0.9, "healthy": 0.1}, 2.0).items()}
    {'covid': 0.75, 'healthy': 0.25}
    """
    logs = np.log(np.maximum(list(probabilities.values()), SMALLEST_PROBABILITY)) / temperature
    powers = np.exp(logs - logs.max())
    return dict(zip(probabilities, (powers / powers.sum()).tolist(), strict=True))


def key_slices(slices: Sequence[SlicePrediction], leading: str) -> tuple[int, ...]:
    """The slices that a reader should look at first, as slice indices, the most suspicious first.

    For a disease these are the slices that speak most for it. Where the leading label is healthy
    they are the slices that speak least for health: the ones to check. Ties go to the lower slice.
    """

    def suspicion(one: SlicePrediction) -> float:
        probability = one.probabilities[leading]
        return 1 - probability if leading == Diagnosis.HEALTHY else probability

    ranked = sorted(slices, key=lambda one: (-suspicion(one), one.slice_index))
    return tuple(one.slice_index for one in ranked[:KEY_SLICES])
