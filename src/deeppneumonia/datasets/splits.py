"""Training, validation and test patients: never a patient in two of them.

Patients are dealt out label by label and site by site. Within one label at one site every split
gets its share rounded down or up, and what was rounded is carried on to the label's next site, so
that the label as a whole keeps its shares too. Who goes where depends on the seed and the patient
ids alone, not on the order of the rows.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets.manifest import Manifest, check_contradictions
from deeppneumonia.errors import ManifestError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True, slots=True)
class Fold:
    """Row indices of a manifest for one turn of cross-validation."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def split_by_patient(
    manifest: Manifest,
    *,
    fractions: Sequence[float] = (0.6, 0.1, 0.3),
    seed: int,
    names: Sequence[str] = (TRAIN, VALIDATION, TEST),
) -> Manifest:
    """The same rows with `split` set, by patient, stratified by label and site.

    Args:
        manifest: rows to be split; a split that they already have is overwritten.
        fractions: share of the patients for each split; positive, together 1.
        seed: another seed gives another split.
        names: one for each fraction.

    Raises:
        ManifestError: if a label has fewer patients than there are splits, or a patient two labels.
        ValueError: if fractions and names are not what they must be.
    """
    if len(fractions) != len(names) or len(set(names)) != len(names):
        raise ValueError(f"one different name per fraction, not {fractions} and {names}")
    if min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
        raise ValueError(f"fractions must be positive and add up to 1, not {fractions}")
    check_contradictions([replace(row, split="") for row in manifest.rows])
    part = _deal(manifest, fractions, seed)
    return manifest.with_rows(
        replace(row, split=names[part[row.patient_id]]) for row in manifest.rows
    )


def grouped_folds(manifest: Manifest, folds: int, seed: int) -> list[Fold]:
    """Cross-validation by patient: each patient is tested once and validates once.

    The patients are dealt into `folds` equal parts, stratified by label and site; fold i tests on
    part i, validates on part i + 1 and trains on the rest.

    Raises:
        ManifestError: if a label has fewer patients than there are folds, or a patient two labels.
        ValueError: if there are fewer than 3 folds.
    """
    if folds < 3:
        raise ValueError(f"folds must be 3 or more (train, validation, test), not {folds}")
    check_contradictions([replace(row, split="") for row in manifest.rows])
    part = _deal(manifest, [1 / folds] * folds, seed)
    of_row = np.array([part[row.patient_id] for row in manifest.rows])
    return [
        Fold(
            train=np.flatnonzero((of_row != tested) & (of_row != (tested + 1) % folds)),
            validation=np.flatnonzero(of_row == (tested + 1) % folds),
            test=np.flatnonzero(of_row == tested),
        )
        for tested in range(folds)
    ]


def _deal(manifest: Manifest, fractions: Sequence[float], seed: int) -> Mapping[str, int]:
    """The part that each patient goes to."""
    part: dict[str, int] = {}
    for label, sites in sorted(_strata(manifest, seed).items()):
        counts = _counts_of(label, [len(patients) for patients in sites], np.asarray(fractions))
        for patients, count in zip(sites, counts, strict=True):
            parts = np.repeat(np.arange(len(fractions)), count)
            part.update(zip(patients, parts.tolist(), strict=True))
    return part


def _strata(manifest: Manifest, seed: int) -> Mapping[str, list[list[str]]]:
    """Shuffled patients by label, then by site; a patient of two sites counts for the first."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for patient, rows in manifest.patients.items():
        found[rows[0].label][min(row.site for row in rows)].append(patient)
    return {
        label: [
            sorted(patients, key=lambda patient: _draw(seed, patient))
            for _, patients in sorted(sites.items())
        ]
        for label, sites in found.items()
    }


def _draw(seed: int, patient: str) -> bytes:
    """A lot that depends on nothing but the seed and the patient."""
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()


def _counts_of(
    label: str, patients: Sequence[int], fractions: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many patients of one label each part gets at each site, as (sites, parts)."""
    total, parts = sum(patients), len(fractions)
    if total < parts:
        has = "1 patient" if total == 1 else f"{total} patients"
        raise ManifestError(
            f"The label {label!r} has {has}, which cannot be split into {parts} parts: "
            f"bring {parts} patients or more, or leave the label out."
        )
    quotas = np.outer(patients, fractions)
    # 1e-9: a share such as 0.3 * 10 may come out a hair below the whole number that it is.
    counts = np.floor(quotas + 1e-9).astype(np.int64)
    for site, size in enumerate(patients):
        left = size - counts[site].sum()
        owed = (quotas[: site + 1] - counts[: site + 1]).sum(axis=0)
        owed[quotas[site] - counts[site] < 1e-9] = -np.inf  # a whole share is not rounded up
        counts[site, np.argsort(-owed, kind="stable")[:left]] += 1
    for empty in np.flatnonzero(counts.sum(axis=0) == 0):
        giver = counts.sum(axis=0).argmax()
        surplus = counts[:, giver] - quotas[:, giver]
        richest = np.where(counts[:, giver] > 0, surplus, -np.inf).argmax()
        counts[richest, [giver, empty]] += [-1, 1]
    return counts
