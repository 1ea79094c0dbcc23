"""How far a study lies from what a network was trained on, measured on its own features.

A Gaussian with a few free directions and one variance for all others is fitted to the features of
training slices. A slice's distance is its Mahalanobis distance, a patient's the root mean square
over slices, in units of a typical patient of the training hospitals who was not trained on: 1 is
typical, and beyond the limit the network is asked about something that it has not seen.

Source: Tipping and Bishop 1999 (probabilistic PCA); Lee et al., NeurIPS 2018 (Mahalanobis distance
of features); limit: split conformal prediction (Vovk et al. 2005).
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KIND = "gaussian-1"

DIRECTIONS = 32
"""Free directions; with 2048 features they take 175 kB in the checkpoint."""

ANSWERED = 0.98
"""Share of patients like those of validation that lie within the limit, if 49 or more set it."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one patient lies from the training patients."""

    value: float
    """1 is a typical patient of the training hospitals."""

    limit: float
    """Beyond this the patient is unlike the training patients."""

    @property
    def is_far(self) -> bool:
        """Whether the patient is unlike them."""
        return not self.value <= self.limit  # NaN is far


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """What a checkpoint keeps of its training patients' features."""

    mean: Floats
    """(D,)."""

    directions: Floats
    """(k, D), orthonormal."""

    deviations: Floats
    """(k,): standard deviation along each direction."""

    rest: float
    """Standard deviation along every other direction."""

    typical: float
    """Squared distance of the median held-out patient."""

    limit: float
    """Of a patient's distance."""

    patients: Mapping[str, int]
    """How many made the statistics (`fitted`) and the limit (`limit`)."""

    def distance(self, features: NDArray[np.floating]) -> Distance:
        """Of one patient, from the features (n, D) of their slices; n is 1 or more."""
        return Distance(float(np.sqrt(self.squared(features).mean() / self.typical)), self.limit)

    def squared(self, features: NDArray[np.floating]) -> Floats:
        """(n,): squared Mahalanobis distance of slices."""
        apart = np.asarray(features, np.float64) - self.mean  # (n, D)
        along = apart @ self.directions.T  # (n, k)
        beside = ((apart**2).sum(axis=1) - (along**2).sum(axis=1)).clip(min=0)
        return np.asarray(
            ((along / self.deviations) ** 2).sum(axis=1) + beside / self.rest**2, np.float64
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; arrays as base64 of little-endian floats."""
        return {
            "kind": KIND,
            "mean": _packed(self.mean, "<f4"),
            "directions": _packed(self.directions, "<f2"),
            "deviations": _packed(self.deviations, "<f4"),
            "rest": self.rest,
            "typical": self.typical,
            "limit": self.limit,
            "patients": dict(self.patients),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FeatureStatistics":
        """What `to_json` made; ValueError or KeyError for anything else."""
        if stored["kind"] != KIND:
            raise ValueError(f"statistics of kind {stored['kind']!r} are not known")
        mean = _unpacked(stored["mean"], "<f4")
        return cls(
            mean=mean,
            directions=_unpacked(stored["directions"], "<f2").reshape(-1, len(mean)),
            deviations=_unpacked(stored["deviations"], "<f4"),
            rest=float(stored["rest"]),
            typical=float(stored["typical"]),
            limit=float(stored["limit"]),
            patients=dict(stored["patients"]),
        )


def fit_statistics(
    features: NDArray[np.floating],
    patients: Sequence[str],
    held_out: NDArray[np.floating],
    held_out_patients: Sequence[str],
) -> FeatureStatistics:
    """Statistics of training slices, with a limit from patients who were not trained on.

    Args:
        features: (n, D) of training slices.
        patients: n patient keys; every patient weighs the same.
        held_out: (m, D) of other patients' slices, validation as a rule.
        held_out_patients: m patient keys.

    Raises:
        ValueError: with fewer than 3 training patients, or nobody held out.
    """
    groups = _groups(patients)
    if len(groups) < 3 or len(held_out) == 0:
        raise ValueError("feature statistics need 3 training patients and 1 other patient")
    features = np.asarray(features, np.float64)
    weights = np.zeros(len(features))
    for rows in groups:
        weights[rows] = 1 / (len(groups) * len(rows))
    mean = weights @ features
    apart = (features - mean) * np.sqrt(weights)[:, None]
    _, lengths, directions = np.linalg.svd(apart, full_matrices=False)
    k = min(DIRECTIONS, len(groups) - 2)
    free = max(features.shape[1] - k, 1)
    rest = float(np.sqrt((lengths[k:] ** 2).sum() / free))
    floor = 1e-6 * (float(lengths[0]) + 1e-6)  # features that never vary must not divide by zero
    found = FeatureStatistics(
        mean=mean,
        directions=directions[:k].astype("<f2").astype(np.float64),  # as it will be stored
        deviations=np.maximum(lengths[:k], floor),
        rest=max(rest, floor),
        typical=1.0,
        limit=np.inf,
        patients={"fitted": len(groups), "limit": len(_groups(held_out_patients))},
    )
    squared = _per_patient(found, held_out, held_out_patients)
    typical = max(float(np.median(squared)), floor)
    return replace(found, typical=typical, limit=limit_for(np.sqrt(squared / typical)))


def limit_for(distances: Floats) -> float:
    """Within which a further patient lies with a probability of ANSWERED or more.

    Below 49 patients no limit can promise so much: it is then the farthest of them, within which
    a further one of their kind lies with a probability of P / (P + 1), as 10 in 11.

    Args:
        distances: (P,) of patients of the same kind, 1 or more of them.
    """
    rank = min(ceil(ANSWERED * (len(distances) + 1)), len(distances))  # split conformal
    return float(np.sort(distances)[rank - 1])


def _per_patient(
    found: FeatureStatistics, features: NDArray[np.floating], patients: Sequence[str]
) -> Floats:
    """(P,): mean squared distance of each patient's slices."""
    squared = found.squared(features)
    return np.array([squared[rows].mean() for rows in _groups(patients)])


def _groups(patients: Sequence[str]) -> list[NDArray[np.intp]]:
    """The rows of each patient."""
    names, of_row = np.unique(np.asarray(patients), return_inverse=True)
    return [np.flatnonzero(of_row == number) for number in range(len(names))]


def _packed(values: Floats, kind: str) -> str:
    return b64encode(values.astype(kind).tobytes()).decode("ascii")


def _unpacked(text: str, kind: str) -> Floats:
    return np.frombuffer(b64decode(text, validate=True), kind).astype(np.float64)
