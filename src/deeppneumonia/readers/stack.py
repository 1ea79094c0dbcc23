"""Which headers of one series make its stack of slices, and what had to be left out for that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from deeppneumonia.domain.volume import QualityFlag
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.decode import decode_stored
from deeppneumonia.readers.gate import NoStudyError
from deeppneumonia.readers.geometry import (
    SAME_PLACE_MM,
    VERTICAL,
    NotAxialError,
    angle_deg,
    main_axis,
    normal_of,
)
from deeppneumonia.readers.headers import SliceHeader
from deeppneumonia.readers.refusals import MixedSeriesError

MAX_TURN_DEG = 1.0
"""Planes that differ by more are not of one stack."""

AXIAL = 2
"""The axis of the patient along which axial slices are stacked."""

MIN_TURNED_SLICES = 10
"""Fewer sagittal or coronal slices are localizers, whatever their header says."""

MAX_FRAGMENT = 0.5
"""Up to this share of the slices of the whole scan, another acquisition is a fragment."""

Headers = tuple[SliceHeader, ...]
Flags = tuple[QualityFlag, ...]


def usable_slices(headers: Sequence[SliceHeader]) -> tuple[Headers, Flags]:
    """The slices of one stack, one to a place, in no particular order.

    Localizers and slices of another direction than most are left out, repeated slices are
    dropped, fragments of other acquisitions are left out; each leaves a flag.

    Raises:
        StudyError: no positions, a few sagittal or coronal slices, slices of different size,
            several acquisitions, or different pictures in one place.
    """
    slices, left_out = _leave_out_localizers(headers)
    _check_alike(slices)
    slices, repeated = _drop_repeated(slices)
    slices, mixed = _separate_acquisitions(slices)
    slices, doubled = _drop_doubles(slices)
    return slices, left_out + _repeat_flag(repeated + doubled) + mixed


def height(header: SliceHeader) -> float:
    """Distance along the slice's own normal, in mm; for axial slices growing towards the head."""
    return float(_normal(header.orientation) @ np.asarray(header.position))


_normal = lru_cache(normal_of)
"""The slices of a stack share one orientation, and each is asked for its height several times."""


def _leave_out_localizers(headers: Sequence[SliceHeader]) -> tuple[Headers, Flags]:
    pictures = tuple(h for h in headers if not h.is_localizer)
    unplaced = [h for h in pictures if not (h.is_placed and len(h.pixel_spacing_mm) == 2)]
    if unplaced and all(h.pixels.samples != 1 for h in unplaced):
        raise StudyError(
            f"{counted(len(unplaced), 'image')} of the series with colours and no place in the "
            "patient, where grey CT slices are expected: give the original CT images, not a "
            "screen capture."
        )
    if not pictures:
        raise NoStudyError(
            "The series holds only localizers (overview pictures), where axial CT slices are "
            "expected: name another CT series of the study."
        )
    if unplaced:
        of_all = f"of {counted(len(headers), 'image')}"
        raise StudyError(
            f"{counted(len(unplaced), f'{of_all} lacks', f'{of_all} lack')} Image Position "
            "(0020,0032), Image Orientation (0020,0037) or Pixel Spacing (0028,0030), without "
            "which slices cannot be placed in the patient: export the original CT images."
        )
    kept = _of_main_direction(pictures)
    count = len(headers) - len(kept)
    one = "image of this series is a localizer or of another direction and was"
    more = "images of this series are localizers or of another direction and were"
    flag = QualityFlag("localizers_left_out", f"{counted(count, one, more)} left out.")
    return kept, (flag,) if count else ()


def _of_main_direction(pictures: Headers) -> Headers:
    """Slices along the direction that has most of them; a few of another one are localizers."""
    directions: dict[int, list[SliceHeader]] = {}
    for header in pictures:
        directions.setdefault(main_axis(_normal(header.orientation)), []).append(header)
    enough = {axis: group for axis, group in directions.items() if len(group) >= MIN_TURNED_SLICES}
    axis = max(enough or directions, key=lambda each: (each in enough) * len(directions[each]))
    kept = tuple(directions[axis])
    if axis != AXIAL and len(kept) < MIN_TURNED_SLICES:
        raise NotAxialError(angle_deg=angle_deg(normal_of(kept[0].orientation), VERTICAL))
    return kept


def _check_alike(slices: Headers) -> None:
    """One matrix, one pixel size, one direction and one system of coordinates for all slices."""
    sizes = Counter((h.rows, h.columns) for h in slices)
    if len(sizes) > 1:
        raise MixedSeriesError(
            f"The series mixes slices of {_listed(sizes)} pixels, where all must have one size: "
            "export the series again without added pictures."
        )
    frames = Counter(h.frame_of_reference for h in slices if h.frame_of_reference)
    # Where each slice has a frame of its own, somebody has replaced the UIDs one by one.
    if len(frames) > 1 and max(frames.values()) > 1:
        raise MixedSeriesError(
            f"The series mixes {len(frames)} frames of reference (0020,0052), so the places of its "
            "slices cannot be compared: export one acquisition."
        )
    spacings = np.array([h.pixel_spacing_mm for h in slices])
    if np.ptp(spacings, axis=0).max() > 0.001 * spacings.max():
        raise MixedSeriesError(
            f"The series mixes pixels of {spacings.min():.3f} and {spacings.max():.3f} mm, where "
            "all must have one size: export one reconstruction."
        )
    first = np.array(slices[0].orientation).reshape(2, 3)
    for header in slices[1:]:
        turned = np.degrees(
            np.linalg.norm(np.array(header.orientation).reshape(2, 3) - first, axis=1)
        )
        if turned.max() > MAX_TURN_DEG:
            raise MixedSeriesError(
                f"The series mixes slices that are turned {turned.max():.0f} degrees against each "
                "other, where all must lie alike: export one acquisition."
            )


def _listed(sizes: Counter[tuple[int, int]]) -> str:
    return " and ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))


def _drop_repeated(slices: Headers) -> tuple[Headers, int]:
    """Drop further copies of one SOP instance in one place: the same object by definition."""
    seen: dict[tuple[object, ...], SliceHeader] = {}
    for number, header in enumerate(slices):
        identity = header.sop_uid or number
        seen.setdefault((identity, header.frame, header.position), header)
    return tuple(seen.values()), len(slices) - len(seen)


def _separate_acquisitions(slices: Headers) -> tuple[Headers, Flags]:
    """Leave out fragments that lie inside another acquisition of the series; keep all others.

    A scan may come in several acquisitions that adjoin each other. Beside it may lie fragments:
    monitoring of contrast in one place, a repeated start.

    Raises:
        MixedSeriesError: acquisitions overlap, and it is not plain which of them the scan is.
    """
    groups: dict[str, list[SliceHeader]] = {}
    for header in slices:
        groups.setdefault(header.acquisition, []).append(header)
    found = sorted(map(_acquisition, groups.values()), key=lambda one: one.span_mm)
    if not any(low.overlaps(high) for low, high in pairwise(found)):
        return slices, ()
    kept: list[_Acquisition] = []
    for one in sorted(found, key=lambda one: -one.places):
        overlapped = [other for other in kept if one.overlaps(other)]
        if overlapped:
            _check_fragment(one, overlapped, kept)
        else:
            kept.append(one)
    names = {one.name for one in kept}
    stay = tuple(header for header in slices if header.acquisition in names)
    return stay, (_mixed_flag(len(groups), len(kept), len(stay), len(slices) - len(stay)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Acquisition:
    """Where the slices of one acquisition lie along their normal."""

    name: str
    heights: tuple[float, ...]
    """In mm, growing."""

    places: int
    """How many slices there are when those in one place count once."""

    @property
    def span_mm(self) -> tuple[float, float]:
        """From the lowest slice to the highest."""
        return self.heights[0], self.heights[-1]

    @property
    def spacing_mm(self) -> float:
        """From slice to slice; 0 where all lie in one place."""
        low, high = self.span_mm
        return (high - low) / max(self.places - 1, 1)

    def overlaps(self, other: "_Acquisition") -> bool:
        """Whether one begins well before the other has ended; to share a border is to adjoin."""
        lower, upper = (self, other) if self.span_mm <= other.span_mm else (other, self)
        return upper.span_mm[0] < lower.span_mm[1] - SAME_PLACE_MM

    def beyond_mm(self, height_mm: float) -> float:
        """How far a place lies outside this acquisition, one spacing at either end aside."""
        low, high = self.span_mm
        outside = max(low - height_mm, height_mm - high)
        return max(outside - self.spacing_mm - SAME_PLACE_MM, 0.0)


def _acquisition(slices: Sequence[SliceHeader]) -> _Acquisition:
    heights = sorted(map(height, slices))
    places = 1 + sum(high - low >= SAME_PLACE_MM for low, high in pairwise(heights))
    return _Acquisition(name=slices[0].acquisition, heights=tuple(heights), places=places)


def _check_fragment(
    one: _Acquisition, overlapped: Sequence[_Acquisition], kept: Sequence[_Acquisition]
) -> None:
    """MixedSeriesError unless nothing of the patient is lost when this acquisition is left out."""
    whole = overlapped[0]
    if any(all(other.beyond_mm(each) for other in kept) for each in one.heights):
        (low, high), (begin, end) = whole.span_mm, one.span_mm
        reach_mm = max(low - begin, end - high)
        raise MixedSeriesError(
            f"The series mixes acquisitions that overlap in part: one of {one.places} slices "
            f"reaches {reach_mm:.0f} mm beyond one of {whole.places}, where they should adjoin or "
            "one should hold the other: export each as a series of its own, or the whole chest "
            "as one."
        )
    if one.places > MAX_FRAGMENT * whole.places:
        raise MixedSeriesError(
            f"The series mixes 2 acquisitions of the same region, with {whole.places} and "
            f"{one.places} slices, where one is expected: export one of them as a series of its "
            "own."
        )


def _mixed_flag(found: int, kept: int, slices: int, left_out: int) -> QualityFlag:
    used = "the one that is whole" if kept == 1 else f"{kept} that adjoin each other"
    return QualityFlag(
        "mixed_acquisitions",
        f"The series mixes {found} acquisitions of the same region; {used} ({slices} slices) "
        f"{'was' if kept == 1 else 'were'} used and {counted(left_out, 'image')} left out.",
    )


def _drop_doubles(slices: Headers) -> tuple[Headers, int]:
    """Of slices in one place keep one if their pixels are equal, and refuse them if not."""
    kept: list[SliceHeader] = []
    for header in sorted(slices, key=lambda h: (height(h), h.sop_uid)):
        if kept and height(header) - height(kept[-1]) < SAME_PLACE_MM:
            _check_equal(kept[-1], header)
        else:
            kept.append(header)
    return tuple(kept), len(slices) - len(kept)


def _check_equal(first: SliceHeader, second: SliceHeader) -> None:
    same_rescale = (first.slope, first.intercept) == (second.slope, second.intercept)
    if not (same_rescale and np.array_equal(decode_stored(first), decode_stored(second))):
        raise MixedSeriesError(
            "Two different slices lie in the same place of the patient, where one is expected: "
            "two acquisitions or reconstructions were mixed; export one of them."
        )


def _repeat_flag(count: int) -> Flags:
    if not count:
        return ()
    words = counted(count, "image came twice and was", "images came twice and were")
    return (QualityFlag("duplicates_dropped", f"{words} dropped."),)
