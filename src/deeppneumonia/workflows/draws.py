"""Which n patients of a hospital are labelled, and which others are left to test on."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.workflows.tuning import Slices

LEAST_TESTED = 4
"""Patients of each class that must be left, or an AUC means nothing."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows to refit on, and rows of patients and groups that share nothing with them."""

    known: NDArray[np.bool_]
    tested: NDArray[np.bool_]


def draw_patients(all_slices: Slices, count: int, rng: np.random.Generator) -> Draw | None:
    """Draw `count` patients, as even as can be over the classes, group by group.

    A group that gave a patient is not tested, so that what stays together is never on both sides.

    Returns:
        None where too few patients of a class would be left, or there are not `count`.
    """
    wanted = _shares(len(all_slices.present), count, rng)
    chosen: set[str] = set()
    touched: set[str] = set()
    for label, number in zip(all_slices.present, wanted, strict=True):
        groups = _patients_by_group(all_slices, label)
        order = [sorted(groups)[place] for place in rng.permutation(len(groups))]
        found: list[str] = []
        for group in order:
            if len(found) < number:
                touched.add(group)
                members = sorted(groups[group])
                found += [members[place] for place in rng.permutation(len(members))]
        if len(found) < number:
            return None
        chosen |= set(found[:number])
    known = np.isin(all_slices.patients, sorted(chosen))
    tested = ~np.isin(all_slices.groups, sorted(touched))
    left = [
        len(set(all_slices.patients[tested & (all_slices.labels == label)].tolist()))
        for label in all_slices.present
    ]
    return Draw(known, tested) if min(left) >= LEAST_TESTED else None


def _shares(classes: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` over the classes, the rest to classes drawn at random."""
    shares = [count // classes] * classes
    for place in rng.permutation(classes)[: count % classes]:
        shares[place] += 1
    return shares


def _patients_by_group(all_slices: Slices, label: int) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for row in np.flatnonzero(all_slices.labels == label):
        groups[str(all_slices.groups[row])].add(str(all_slices.patients[row]))
    return groups
