"""Patients and pictures that stand on both sides of a split, or under two names.

Near-identical pictures are found by correlation: every picture is shrunk to 32 x 32 and brought to
mean 0 and length 1, which turns correlation into distance. A k-d tree over the means of 8 x 8
blocks finds the candidates; block means never make a distance longer, so that no pair is missed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deeppneumonia.datasets.fingerprint import content_sha256
from deeppneumonia.datasets.manifest import Manifest, ManifestRow
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import read_volume

# Among 2,553 real slices the most alike lungs of two patients reach 0.987 and two empty scanner
# tables 0.994; the same slices saved again as JPEG of quality 50 stay above 0.9996.
NEAR_IDENTICAL = 0.995
"""Least correlation of two pictures that count as one."""

_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_THUMBNAIL_PX, _BLOCK_PX = 32, 8


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
    """Two pictures that look the same, of two patients or in two splits."""

    lines: tuple[int, int]
    splits: tuple[str, str]
    correlation: float
    """NEAR_IDENTICAL to 1."""


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Everything that should not be, by line of the manifest."""

    shared_patients: tuple[SharedPatient, ...]
    identical: tuple[IdenticalFiles, ...]
    near_identical: tuple[NearIdentical, ...]
    not_compared: tuple[int, ...]
    """Lines that were not searched for near-identical pictures: studies, unreadable or blank."""

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not (self.shared_patients or self.identical or self.near_identical)


def find_leaks(manifest: Manifest) -> LeakReport:
    """Search a manifest, read with `refuse_contradictions=False`, for what spoils a comparison."""
    by_content: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in manifest.rows:
        by_content[content_sha256(manifest.file(row))].append(row)
    seen: list[ManifestRow] = []
    thumbnails: list[NDArray[np.float32]] = []
    not_compared: list[int] = []
    for rows in by_content.values():
        thumbnail = _thumbnail_of(manifest.file(rows[0]))
        if thumbnail is None:
            not_compared.extend(row.line for row in rows)
        else:
            seen.append(rows[0])
            thumbnails.append(thumbnail)
    return LeakReport(
        shared_patients=_shared_patients(manifest),
        identical=_identical(by_content),
        near_identical=_near_identical(seen, thumbnails),
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
    rows: Sequence[ManifestRow], thumbnails: Sequence[NDArray[np.float32]]
) -> tuple[NearIdentical, ...]:
    if len(rows) < 2:
        return ()
    pictures = np.stack(thumbnails)  # (n, 32 * 32), mean 0, length 1
    blocks = _THUMBNAIL_PX // _BLOCK_PX
    means = pictures.reshape(-1, blocks, _BLOCK_PX, blocks, _BLOCK_PX).mean(axis=(2, 4))
    tree = cKDTree(means.reshape(len(rows), -1) * _BLOCK_PX)  # times 8: an orthonormal projection
    # Two vectors of length 1 with correlation r lie sqrt(2 - 2 r) apart.
    pairs = tree.query_pairs(np.sqrt(2 - 2 * NEAR_IDENTICAL), output_type="ndarray")
    found = []
    for one, other in sorted(pairs.tolist()):
        first, second = rows[one], rows[other]
        if (first.patient_id, first.split) == (second.patient_id, second.split):
            continue
        correlation = float(pictures[one] @ pictures[other])
        if correlation >= NEAR_IDENTICAL:
            lines, splits = (first.line, second.line), (first.split, second.split)
            found.append(NearIdentical(lines, splits, min(correlation, 1.0)))
    return tuple(found)


def _thumbnail_of(path: Path) -> NDArray[np.float32] | None:
    """(32 * 32,) with mean 0 and length 1; None for what is no picture or shows nothing."""
    if path.suffix.lower() not in _PICTURE_SUFFIXES or not path.is_file():
        return None
    try:
        grey = read_volume(path).slice(0).astype(np.float32)
    except StudyError:
        return None
    small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA).ravel()
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    # Less than one grey level of spread is a blank picture, and blank pictures all look the same.
    if length < np.sqrt(centred.size):
        return None
    unit: NDArray[np.float32] = centred / length
    return unit


def _splits_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    return tuple(sorted({row.split for row in rows}))


def _labels_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows}))
