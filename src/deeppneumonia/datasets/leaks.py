"""Patients and pictures that stand on both sides of a split, or under two names.

Near-identical pictures are found by correlation: every picture, and some slices of every study,
are shrunk to 32 x 32 and brought to mean 0 and length 1, which turns correlation into distance. The
means of 8 x 8 blocks are the perceptual hash: a k-d tree over them finds the candidates, and as
block means never make a distance longer, no pair is missed. A candidate is then compared in full.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deeppneumonia.datasets.fingerprint import content_sha256
from deeppneumonia.datasets.manifest import Manifest, ManifestRow

# Among 2,553 real slices the most alike lungs of two patients reach 0.987 and two empty scanner
# tables 0.994; the same slices saved again as JPEG of quality 50 stay above 0.9996.
NEAR_IDENTICAL = 0.995
"""Least correlation of two pictures that count as one."""

_THUMBNAIL_PX, _BLOCK_PX = 32, 8

Thumbnail = NDArray[np.float32]
"""(32 * 32,) with mean 0 and length 1."""


@dataclass(frozen=True, slots=True)
class SharedPatient:
    """A patient in two splits or with two labels."""

    lines: tuple[int, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdenticalFiles:
    """Rows with the same content, byte for byte, that differ in patient, split or label."""

    lines: tuple[int, ...]
    patients: int
    """How many different patients the rows claim to be."""

    splits: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NearIdentical:
    """Two pictures, or slices of two studies, that look the same; of two patients or splits."""

    lines: tuple[int, int]
    splits: tuple[str, str]
    labels: tuple[str, str]
    correlation: float
    """NEAR_IDENTICAL to 1; of two studies, that of their most alike slices."""


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Everything that should not be, by line of the manifest."""

    shared_patients: tuple[SharedPatient, ...]
    identical: tuple[IdenticalFiles, ...]
    near_identical: tuple[NearIdentical, ...]
    not_compared: tuple[int, ...]
    """Lines that were not searched for near-identical pictures: unreadable or blank."""

    @property
    def label_conflicts(self) -> tuple[tuple[int, ...], ...]:
        """Lines that are one patient, one file or one picture, and have two labels or more."""
        found: list[SharedPatient | IdenticalFiles | NearIdentical] = [
            *self.shared_patients, *self.identical, *self.near_identical,
        ]  # fmt: skip
        return tuple(each.lines for each in found if len(set(each.labels)) > 1)

    @property
    def crosses(self) -> bool:
        """Something stands on both sides of a split, or under two patients; two labels alone do
        not make it so."""
        patients = any(len(each.splits) > 1 for each in self.shared_patients)
        files = any(each.patients > 1 or len(each.splits) > 1 for each in self.identical)
        return patients or files or bool(self.near_identical)

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not (self.shared_patients or self.identical or self.near_identical)


def find_leaks(manifest: Manifest, thumbnails: Mapping[int, Sequence[Thumbnail]]) -> LeakReport:
    """Search a manifest, read with `refuse_contradictions=False`, for what spoils a comparison.

    Args:
        manifest: what is searched.
        thumbnails: by line, `thumbnail_of` the pictures and slices, as `find_traces` reads them.
    """
    by_content: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in manifest.rows:
        by_content[content_sha256(manifest.file(row))].append(row)
    seen: list[ManifestRow] = []
    compared: list[Thumbnail] = []
    not_compared: list[int] = []
    for rows in by_content.values():
        of_row = thumbnails.get(rows[0].line, ())
        seen += [rows[0]] * len(of_row)
        compared += of_row
        if not of_row:
            not_compared.extend(row.line for row in rows)
    return LeakReport(
        shared_patients=_shared_patients(manifest),
        identical=_identical(by_content),
        near_identical=_near_identical(seen, compared),
        not_compared=tuple(sorted(not_compared)),
    )


def _shared_patients(manifest: Manifest) -> tuple[SharedPatient, ...]:
    return tuple(
        SharedPatient(tuple(row.line for row in rows), _splits_of(rows), _labels_of(rows))
        for rows in manifest.patients.values()
        if len(_splits_of(rows)) > 1 or len(_labels_of(rows)) > 1
    )


def _identical(by_content: Mapping[str, Sequence[ManifestRow]]) -> tuple[IdenticalFiles, ...]:
    found = []
    for rows in by_content.values():
        patients = len({row.patient_id for row in rows})
        if max(patients, len(_splits_of(rows)), len(_labels_of(rows))) > 1:
            lines = tuple(row.line for row in rows)
            found.append(IdenticalFiles(lines, patients, _splits_of(rows), _labels_of(rows)))
    return tuple(found)


def _near_identical(
    rows: Sequence[ManifestRow], thumbnails: Sequence[Thumbnail]
) -> tuple[NearIdentical, ...]:
    if len(rows) < 2:
        return ()
    pictures = np.stack(thumbnails)  # (n, 32 * 32), mean 0, length 1
    blocks = _THUMBNAIL_PX // _BLOCK_PX
    means = pictures.reshape(-1, blocks, _BLOCK_PX, blocks, _BLOCK_PX).mean(axis=(2, 4))
    tree = cKDTree(means.reshape(len(rows), -1) * _BLOCK_PX)  # times 8: an orthonormal projection
    # Two vectors of length 1 with correlation r lie sqrt(2 - 2 r) apart.
    pairs = tree.query_pairs(np.sqrt(2 - 2 * NEAR_IDENTICAL), output_type="ndarray")
    best: dict[tuple[int, int], NearIdentical] = {}
    for one, other in sorted(pairs.tolist()):
        first, second = rows[one], rows[other]
        if (first.patient_id, first.split) == (second.patient_id, second.split):
            continue
        correlation = min(float(pictures[one] @ pictures[other]), 1.0)
        lines = first.line, second.line
        known = best.get(lines)
        if correlation >= (known.correlation if known else NEAR_IDENTICAL):
            splits, labels = (first.split, second.split), (first.label, second.label)
            best[lines] = NearIdentical(lines, splits, labels, correlation)
    return tuple(best.values())


def thumbnail_of(grey: NDArray[np.uint8]) -> Thumbnail | None:
    """A picture in the lung window, (rows, columns), as it is compared; None for a blank one."""
    size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
    small = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    # Less than one grey level of spread is a blank picture, and blank pictures all look the same.
    if length < np.sqrt(centred.size):
        return None
    unit: Thumbnail = centred / length
    return unit


def _splits_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    return tuple(sorted({row.split for row in rows}))


def _labels_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows}))
