"""Who gets no answer, for which reason, and how wrong the others are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint, CheckpointMetadata
from deeppneumonia.datasets import ManifestRow
from deeppneumonia.domain import QualityFlag
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.evaluation import aggregate_by_patient, calibrate
from deeppneumonia.evaluation.abstention import risk_coverage
from deeppneumonia.evaluation.patients import is_answered
from deeppneumonia.inference import statistics_of
from deeppneumonia.preprocessing import Examination, PreprocessConfig, check_input, examine
from deeppneumonia.readers import read_volume
from deeppneumonia.workflows.scored import Scored

POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Coverages at which the curve is stated."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What reader, preprocessing and input checks said of one row of a manifest."""

    examination: Examination
    flags: tuple[QualityFlag, ...]


def look_at(row: ManifestRow, file: Path, config: PreprocessConfig) -> Looked | None:
    """Read and check one row as `diagnose` would; None when it is refused."""
    try:
        volume = replace(read_volume(file), lung_masked=row.lung_masked)
        found = examine(volume, config)
        flags = (*volume.flags, *found.flags, *check_input(volume, found).flags)
    except InputRefusedError:
        return None
    return Looked(found, flags)


@dataclass(slots=True)
class Doubts:
    """What the checks of the input said of a patient's rows."""

    rows: int = 0
    blocking: int = 0
    leaving_open: int = 0

    def add(self, looked: "Looked | None") -> None:
        """One more row; None is a refused one."""
        self.rows += 1
        self.blocking += looked is None or any(flag.blocks for flag in looked.flags)
        self.leaving_open += looked is not None and any(f.leaves_open for f in looked.flags)

    @property
    def unusable(self) -> bool:
        """Whether most rows are refused."""
        return 2 * self.blocking > self.rows

    @property
    def doubtful(self) -> bool:
        """Whether most rows leave the answer open."""
        return 2 * self.leaving_open > self.rows


def abstention(
    checkpoint: Checkpoint, scored: Scored, doubts: Mapping[str, Doubts]
) -> dict[str, Any]:
    """Patients by what became of them, and the risk-coverage curves of confidence and distance.

    A patient with several rows counts as refused, or left open by a check, when most rows are.
    """
    metadata = checkpoint.metadata
    kept = is_answered(scored.probabilities)
    table = aggregate_by_patient(scored.labels, scored.probabilities, scored.groups)
    probabilities = calibrate(table.probabilities, metadata.temperature)
    answered = is_answered(probabilities)
    confidence = np.nan_to_num(probabilities).max(axis=1)
    wrong = np.nan_to_num(probabilities).argmax(axis=1) != table.labels
    distances, limit = distances_of(
        metadata, scored.features[kept], [scored.groups[n] for n in np.flatnonzero(kept)],
        table.patients,
    )  # fmt: skip
    refused = ~answered | np.array([doubts[one].unusable for one in table.patients])
    checked = ~refused & np.array([doubts[one].doubtful for one in table.patients])
    far = ~refused & ~checked & (distances > limit)
    weak = ~refused & ~checked & ~far & (confidence < metadata.thresholds.confidence)
    given = ~(refused | checked | far | weak)
    curves = {"confidence": 1 - confidence}
    if np.isfinite(limit):
        curves["distance"] = distances
    return {
        "patients": len(table.patients),
        "refused": int(refused.sum()),
        "open_check": int(checked.sum()),
        "open_distance": int(far.sum()),
        "open_weak_lead": int(weak.sum()),
        "answered": int(given.sum()),
        "answered_share": float(given.mean()),
        "answered_share_by_checks_and_distance": float((given | weak).mean()),
        "error_of_answered": float(wrong[given].mean()) if given.any() else None,
        "error_of_all": float(wrong[answered].mean()) if answered.any() else None,
        "distance_limit": limit if np.isfinite(limit) else None,
        "risk_coverage": {
            name: _curve(wrong[answered], doubt[answered])
            for name, doubt in curves.items()
            if answered.any()
        },
    }


def _curve(wrong: NDArray[np.bool_], doubt: NDArray[np.float64]) -> dict[str, Any]:
    found = risk_coverage(wrong, doubt)
    return {
        "area": found.area,
        "points": [{"coverage": at, "risk": found.risk_at(at)} for at in POINTS],
    }


def distances_of(
    metadata: CheckpointMetadata,
    features: NDArray[np.floating],
    groups: Sequence[str],
    patients: Sequence[str],
) -> tuple[NDArray[np.float64], float]:
    """How far patients lie from the training patients, and the limit.

    Args:
        metadata: of the checkpoint.
        features: (n, F) of slices.
        groups: n patient keys.
        patients: P of them.

    Returns:
        (P,), 0 for a patient without slices; the limit is infinite where nothing is known.
    """
    statistics = statistics_of(metadata)
    distances = np.zeros(len(patients))
    if statistics is None:
        return distances, float("inf")
    whose = np.array(groups)
    for place, patient in enumerate(patients):
        rows = whose == patient
        if rows.any():
            distances[place] = statistics.distance(features[rows]).value
    return distances, statistics.limit
