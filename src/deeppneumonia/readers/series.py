"""Which series of a study is read, and the reason in one sentence for the report."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deeppneumonia.readers.decode import NOT_HU
from deeppneumonia.readers.gate import NoStudyError
from deeppneumonia.readers.geometry import OrientationError, main_axis, normal_of
from deeppneumonia.readers.headers import SliceHeader
from deeppneumonia.readers.refusals import WrongModalityError

MIN_SLICES = 10
"""A series with fewer slices is only read when there is no other: localizers, monitoring."""

MIN_COVERAGE_MM = 200.0
"""Length that is enough for lungs; a shorter series gives way to one that covers more."""

PROJECTIONS = {"MIP", "MINIP", "AVERAGE", "PROJECTION IMAGE", "VOLUME RENDERING", "SCREEN SAVE"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A CT series with slices in places, and what speaks for it."""

    uid: str
    slices: int
    thickness_mm: float
    coverage_mm: float
    is_projection: bool
    has_lung_window: bool
    """Scanners store a lung window with images that were sharpened for the lung."""


def by_series(headers: Iterable[SliceHeader]) -> dict[str, tuple[SliceHeader, ...]]:
    """Headers under their Series Instance UID, sorted by UID."""
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    return {uid: tuple(groups[uid]) for uid in sorted(groups)}


def describe(headers: Sequence[SliceHeader]) -> str:
    """A series in technical words; the header's own description is free text and may hold names."""
    first = headers[0]
    words = ["1 image" if len(headers) == 1 else f"{len(headers)} images"]
    if first.thickness_mm:
        words.append(f"{first.thickness_mm:g} mm thick")
    if re.fullmatch(r"[A-Za-z0-9 .+-]{1,16}", first.kernel):
        words.append(f"kernel {first.kernel}")
    if any(header.is_localizer for header in headers):
        words.append("with localizer")
    return ", ".join(words)


def choose_series(
    series: Mapping[str, Sequence[SliceHeader]], wanted: str | None
) -> tuple[str, str]:
    """UID of the series to read, and why.

    The rule, in order: CT with axial slices, or with others where there is no such; not a
    projection; 10 slices or more; 200 mm of the patient, or 80 % of what the longest covers;
    thinnest slices; most slices; a lung window; largest coverage; first by UID. A rule that leaves
    no series over is skipped.

    Raises:
        StudyError: nothing fits: NoStudyError, WrongModalityError, or the reason of the only CT
            series that was found.
    """
    if wanted is not None:
        return _named(series, wanted), "It was named by the user."
    scans = {uid: headers for uid, headers in series.items() if _has_ct_images(headers)}
    if not scans:
        modalities = {
            headers[0].modality or "objects of no modality" for headers in series.values()
        }
        found = "CT headers without pixels" if "CT" in modalities else _listed(modalities)
        raise WrongModalityError(
            f"The study holds {found} and no CT images: give the CT images of a chest."
        )
    for direction, axes in (("axial", {2}), ("sagittal or coronal", {0, 1})):
        candidates = [c for uid, headers in scans.items() if (c := _candidate(uid, headers, axes))]
        if len(candidates) == 1:
            others = f" with {direction} slices among {len(series)} series" * (len(series) > 1)
            return candidates[0].uid, f"It is the only CT series{others}."
        if candidates:
            return _best(candidates, direction)
    return _only_unusable(scans), "It is the only CT series."


def _has_ct_images(headers: Sequence[SliceHeader]) -> bool:
    return headers[0].modality == "CT" and any(header.rows for header in headers)


def _named(series: Mapping[str, Sequence[SliceHeader]], wanted: str) -> str:
    if wanted not in series:
        raise NoStudyError(
            f"The study has {len(series)} series, and none with the Series Instance UID that was "
            "asked for: check the UID, or leave it out to have a series chosen."
        )
    if not _has_ct_images(series[wanted]):
        raise WrongModalityError(
            f"The series that was asked for is {series[wanted][0].modality or 'of no modality'}, "
            "where CT images are expected: name the CT series of the study."
        )
    return wanted


def _only_unusable(scans: Mapping[str, Sequence[SliceHeader]]) -> str:
    """The one CT series without axial slices, so that reading it gives its own reason."""
    pictures = [uid for uid, headers in scans.items() if not headers[0].is_localizer]
    if not pictures:
        raise NoStudyError(
            "The study holds only localizers (overview pictures), where axial CT slices are "
            "expected: export the whole study."
        )
    return max(pictures, key=lambda uid: (len(scans[uid]), uid))


def _candidate(uid: str, headers: Sequence[SliceHeader], axes: set[int]) -> Candidate | None:
    """None for a series without slices in HU whose normal runs along one of these axes."""
    slices = [h for h in headers if not h.is_localizer and h.is_placed and _axis_of(h) in axes]
    if not slices or slices[0].rescale_type in NOT_HU:
        return None
    along = normal_of(slices[0].orientation)
    heights = [float(along @ h.position) for h in slices]
    coverage = max(heights) - min(heights)
    spacing = coverage / (len(slices) - 1) if len(slices) > 1 else 1.0
    return Candidate(
        uid=uid,
        slices=len(slices),
        thickness_mm=round(slices[0].thickness_mm or spacing, 1),
        coverage_mm=coverage,
        is_projection=not PROJECTIONS.isdisjoint(slices[0].image_type),
        has_lung_window=(slices[0].window_center_hu or 0) < -300,
    )


def _axis_of(header: SliceHeader) -> int | None:
    """The axis of the patient along a slice's normal; None for a broken orientation."""
    try:
        return _main_axis_along(header.orientation)
    except OrientationError:
        return None


@lru_cache(maxsize=64)
def _main_axis_along(orientation: tuple[float, ...]) -> int:
    """All slices of a series share one orientation, and there are hundreds of them."""
    return main_axis(normal_of(orientation))


def _best(candidates: list[Candidate], direction: str) -> tuple[str, str]:
    """Apply the rules of `choose_series` one by one until one candidate is left."""
    total = len(candidates)
    longest = max(c.coverage_mm for c in candidates)
    enough_mm = min(MIN_COVERAGE_MM, 0.8 * longest)
    rules: list[tuple[str, Callable[[Candidate], Any]]] = [
        ("is original, not a projection", lambda c: not c.is_projection),
        (f"has {MIN_SLICES} slices or more", lambda c: c.slices >= MIN_SLICES),
        ("covers the lungs", lambda c: c.coverage_mm >= enough_mm),
        ("has the thinnest slices ({0.thickness_mm:g} mm)", lambda c: -c.thickness_mm),
        ("has the most slices ({0.slices})", lambda c: c.slices),
        ("is stored with a lung window", lambda c: c.has_lung_window),
        ("covers most of the patient ({0.coverage_mm:.0f} mm)", lambda c: round(c.coverage_mm)),
    ]
    reasons: list[str] = []
    for reason, merit in rules:
        most = max(merit(c) for c in candidates)
        left = [c for c in candidates if merit(c) == most]
        if len(left) < len(candidates):
            reasons.append(reason.format(left[0]))
        candidates = left
    if len(candidates) > 1:
        reasons.append("comes first by UID among series that are alike")
    chosen = min(candidates, key=lambda c: c.uid)
    return chosen.uid, f"Of {total} {direction} CT series it {_listed(reasons)}."


def _listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; a set is sorted first."""
    listed = sorted(words) if isinstance(words, set) else list(words)
    return " and ".join(part for part in (", ".join(listed[:-1]), listed[-1]) if part)
