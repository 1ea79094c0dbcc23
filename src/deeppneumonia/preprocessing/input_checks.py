"""Is this a chest CT at all? What the pictures themselves say, before a network is asked.

The reader has checked the file's words (modality, geometry, gaps); these checks look at the pixels,
for files without words and for wrong ones. Limits were set on open chest CT, of which none may be
lost, and on phantoms of what is none: see `docs/explanation/trust.md`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import LungSlice, QualityFlag, Unit, Volume
from deeppneumonia.domain.wording import counted
from deeppneumonia.preprocessing.examination import THREADS, Examination, Reduced
from deeppneumonia.preprocessing.morphology import (
    Mask,
    convex_hull,
    dilate_disk,
    disk,
)
from deeppneumonia.preprocessing.stance import stance
from deeppneumonia.preprocessing.view import View, look

MAX_TISSUE_SPREAD = 0.6
"""Between its 10th and 90th percentile, tissue may vary by this much of its distance from lung.
Chest CT in any lung window: 0.3 or less; MR, photographs and soft-tissue windows: 0.8 or more."""

MIN_BETWEEN = 0.08
"""Least tissue between the lungs, as a share of the lungs; 0.2 or more in chest CT, none in a
negative, where the dark body is taken for one big lung."""

MAX_LUNG_OF_BODY = 0.75
"""Largest plausible share of the body's area for lungs, in the median slice."""

MIN_KEPT = 0.3
"""Least share of the examined slices with complete lungs; an abdomen shows their bases only."""

FEW_SLICES = 6
"""With fewer examined slices than this, their share says nothing."""

ENHANCED_HU, MAX_ENHANCED = 110.0, 0.12
"""Blood without contrast medium stays below the first; of the tissue between the lungs, in front
of the spine, more than the second share above it is contrast medium."""

LUNGS_MM = (150.0, 420.0)
"""Plausible width of both lungs together, in the widest slice of an adult."""

MAX_EDGE, MAX_CUT_OFF = 0.15, 0.2
"""Lung that runs along an edge of the slice for this share of the root of its area is cut off by
it; in whole chests none does. A larger share of slices than the second leaves the answer open."""

WHITEST, JPEG_NOISE = 98.0, 3
"""A corner this near to the percentile of its slice is as bright as bone: air is white here."""

Found = tuple[QualityFlag, ...]


@dataclass(frozen=True, slots=True)
class InputReport:
    """What was looked at, and what was found."""

    checked: tuple[str, ...]
    """In a few words each, for the report; what could not be checked here is not in it."""

    flags: Found


@dataclass(frozen=True, slots=True)
class _Chest:
    """What one kept slice shows around its lungs."""

    tissue_spread: float
    between: float
    lung_of_body: float
    white_corners: bool
    enhanced: float | None


def check_input(volume: Volume, examination: Examination) -> InputReport:
    """Judge whether an examined volume is a chest CT that a network may be asked about.

    Flags that block: other than a chest, other than CT in a lung window, a negative. Flags that
    leave the answer open: contrast medium, implausible size, lungs cut off by the field of view,
    mirrored pictures, pictures upside down, one lung in most slices.

    Args:
        volume: what was read.
        examination: of that volume; nothing is checked without kept slices.
    """
    kept = examination.kept
    if not kept:
        return InputReport(("lungs",), ())
    checked: list[str] = ["lungs", "body region"]
    flags: list[QualityFlag] = [*_region(examination), *_one_lung(kept)]
    if volume.has_geometry:
        checked.append("size and spacing")
        flags += [*_size(volume, kept), *_cut_off(volume, kept)]
    checked.append("orientation")
    flags += _orientation(volume, kept)
    chests = [] if volume.lung_masked else _chests(volume, examination)
    if chests:
        checked.append("modality and window")
        flags += _modality(chests)
    enhanced = [chest.enhanced for chest in chests if chest.enhanced is not None]
    if enhanced:
        checked.append("contrast medium")
        flags += _contrast(float(np.median(enhanced)))
    return InputReport(tuple(checked), tuple(flags))


def _chests(volume: Volume, examination: Examination) -> list[_Chest]:
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(_around, repeat(volume.unit), examination.reduced)
        return [chest for chest in found if chest is not None]


def _around(unit: Unit, seen: Reduced) -> _Chest | None:
    view = look(seen.pixels, unit)
    if view is None:
        return None
    lung = seen.lung
    tissue = cv2.erode(view.body & (1 - dilate_disk(lung, 3)), disk(2)) > 0
    if not lung.any() or not tissue.any():
        return None
    low, middle, high = np.percentile(view.grey[tissue], (10, 50, 90))
    depth = max(float(middle) - float(np.median(view.grey[lung > 0])), 1.0)
    between = convex_hull(lung) & (1 - dilate_disk(lung, 1))
    return _Chest(
        tissue_spread=float(high - low) / depth,
        between=float(between.sum() / lung.sum()),
        lung_of_body=float(lung.sum() / (view.body | lung).sum()),
        white_corners=_has_white_corners(view),
        enhanced=_enhanced(seen.pixels, lung, between) if unit is Unit.HU else None,
    )


def _has_white_corners(view: View) -> bool:
    """Whether all four corners are as bright as the brightest: around a patient it is dark."""
    side = max(min(view.grey.shape) // 32, 1)
    ends = (slice(None, side), slice(-side, None))
    darkest = min(float(np.median(view.grey[rows, columns])) for rows in ends for columns in ends)
    return darkest >= float(np.percentile(view.grey, WHITEST)) - JPEG_NOISE


def _enhanced(hu: NDArray[np.float32], lung: Mask, between: Mask) -> float | None:
    """Share of the tissue between the lungs, in front of the spine, that holds contrast medium."""
    front = np.asarray(cv2.erode(between, disk(1)), np.uint8)
    front[int(np.nonzero(lung)[0].mean()) :] = 0
    seen = hu[front > 0]
    return float((seen > ENHANCED_HU).mean()) if seen.size >= 30 else None


def _median(chests: Sequence[_Chest], value: Callable[[_Chest], float]) -> float:
    return float(np.median([value(chest) for chest in chests]))


def _region(examination: Examination) -> Found:
    kept, examined = len(examination.kept), len(examination.kept) + len(examination.dropped)
    if examined < FEW_SLICES or kept >= MIN_KEPT * examined:
        return ()
    message = (
        f"Only {kept} of {examined} slices {'shows' if kept == 1 else 'show'} complete lungs: this "
        f"looks like an abdomen, or another region with the edge of the lungs; send the "
        f"chest series."
    )
    return (QualityFlag("not_a_chest", message, blocks=True),)


def _one_lung(kept: Sequence[LungSlice]) -> Found:
    lonely = sum(lung_slice.shows_one_lung for lung_slice in kept)
    if len(kept) < 3 or 2 * lonely <= len(kept):
        return ()
    message = f"Most slices ({lonely} of {len(kept)}) show one lung only; this model expects two."
    return (QualityFlag("mostly_one_lung", message, leaves_open=True),)


def _size(volume: Volume, kept: Sequence[LungSlice]) -> Found:
    along = volume.spacing_mm[2]
    widths = [np.flatnonzero(lung_slice.lung_mask.any(axis=0)) for lung_slice in kept]
    width_mm = max(int(columns[-1] - columns[0] + 1) for columns in widths) * along
    if LUNGS_MM[0] <= width_mm <= LUNGS_MM[1]:
        return ()
    message = (
        f"The lungs measure {width_mm:.0f} mm across, where an adult's measure {LUNGS_MM[0]:.0f} "
        f"to {LUNGS_MM[1]:.0f} mm: a child, or a wrong pixel spacing."
    )
    return (QualityFlag("implausible_size", message, leaves_open=True),)


def _cut_off(volume: Volume, kept: Sequence[LungSlice]) -> Found:
    """Of pictures without geometry nobody knows whether they were cut close to the lungs."""
    _, *pixel_mm = volume.spacing_mm
    cut = sum(_along_an_edge(lung_slice.lung_mask, *pixel_mm) > MAX_EDGE for lung_slice in kept)
    if cut <= MAX_CUT_OFF * len(kept):
        return ()
    message = (
        f"The lungs run beyond the edge of the picture in {cut} of {counted(len(kept), 'slice')}: "
        f"a part of them lies outside the field of view; send the series that shows "
        f"the whole chest."
    )
    return (QualityFlag("lungs_cut_off", message, leaves_open=True),)


def _along_an_edge(lung: NDArray[np.bool_], row_mm: float, column_mm: float) -> float:
    """Lung along the edge where most of it lies, as a share of the root of the lung's area."""
    along_mm = column_mm * max(lung[0].sum(), lung[-1].sum())
    down_mm = row_mm * max(lung[:, 0].sum(), lung[:, -1].sum())
    return float(max(along_mm, down_mm) / np.sqrt(lung.sum() * row_mm * column_mm))


def _modality(chests: Sequence[_Chest]) -> Found:
    if _median(chests, lambda chest: chest.tissue_spread) > MAX_TISSUE_SPREAD:
        message = (
            "The tissue around the lungs varies as it does in MR, photographs or a soft-tissue "
            "window, and not as in CT with a lung window; send the CT series."
        )
        return (QualityFlag("not_lung_ct", message, blocks=True),)
    white = _median(chests, lambda chest: chest.white_corners) > 0.5
    too_large = _median(chests, lambda chest: chest.lung_of_body) > MAX_LUNG_OF_BODY
    if white or too_large or _median(chests, lambda chest: chest.between) < MIN_BETWEEN:
        message = (
            "What looks like lung leaves no room for a heart, or the surroundings are white: this "
            "is no chest, or a negative with black and white exchanged; send the CT series."
        )
        return (QualityFlag("not_a_chest", message, blocks=True),)
    return ()


def _orientation(volume: Volume, kept: Sequence[LungSlice]) -> Found:
    """By the outlines of all slices together; what lies on the other side of 0 fits better so."""
    stances = [stance(lung_slice.lung_mask) for lung_slice in kept]
    flags = []
    if np.mean([each.sides for each in stances]) < 0:
        message = (
            "By their outline the lungs stand the other way round: mirrored pictures, a situs "
            "inversus, or a shifted mediastinum."
        )
        # A file with geometry says which side is which, so that only the patient is unusual.
        open_ = not volume.has_geometry
        flags.append(QualityFlag("heart_on_the_right", message, leaves_open=open_))
    if np.mean([each.upright for each in stances]) < 0:
        message = (
            "By their outline the lungs stand upside down: turned pictures, or a patient on the "
            "belly; this model expects the back at the bottom."
        )
        flags.append(QualityFlag("upside_down", message, leaves_open=True))
    return tuple(flags)


def _contrast(share: float) -> Found:
    if share <= MAX_ENHANCED:
        return ()
    message = (
        f"Contrast medium: {share:.0%} of the tissue between the lungs is brighter than blood "
        f"without it; this model was trained on unenhanced scans."
    )
    return (QualityFlag("contrast_medium", message, leaves_open=True),)
