"""Is this a chest CT at all? What the pictures themselves say, before a network is asked.

The reader has checked the file's words (modality, geometry, gaps); these checks look at the pixels,
for files without words and for wrong ones. Limits were set on open chest CT, of which none may be
lost, and on phantoms of what is none: see `docs/explanation/trust.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import LungSlice, QualityFlag, Unit, Volume
from deeppneumonia.preprocessing.examination import Examination
from deeppneumonia.preprocessing.morphology import (
    Mask,
    convex_hull,
    dilate_disk,
    disk,
    open_disk,
)
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

MIRRORED = -0.03
"""Below this, on average, the heart lies on the patient's right; see `_leaning`. Of 21 chests the
least was -0.02; mirrored, 12 of them lie below. Where it sees nothing no harm is done: the networks
are trained on mirrored pictures too, and no side is named where the geometry is not known."""

SPINE_IN_FRONT = -0.05
"""Below this, on average, the spine lies in front of the lungs' middle; see `_spine_behind`."""

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
    leaning: float
    spine_behind: float | None
    enhanced: float | None


def check_input(volume: Volume, examination: Examination) -> InputReport:
    """Judge whether an examined volume is a chest CT that a network may be asked about.

    Flags that block: other than a chest, other than CT in a lung window. Flags that leave the
    answer open: contrast medium, implausible size, mirrored pictures, one lung in most slices.

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
        flags += _size(volume, kept)
    chests = [] if volume.lung_masked else _chests(volume, kept)
    if chests:
        checked += ["modality and window", "orientation"]
        flags += [*_modality(chests), *_side(volume, chests), *_upright(chests)]
    enhanced = [chest.enhanced for chest in chests if chest.enhanced is not None]
    if enhanced:
        checked.append("contrast medium")
        flags += _contrast(float(np.median(enhanced)))
    return InputReport(tuple(checked), tuple(flags))


def _chests(volume: Volume, kept: Sequence[LungSlice]) -> list[_Chest]:
    found = [_around(volume, lung_slice) for lung_slice in kept]
    return [chest for chest in found if chest is not None]


def _around(volume: Volume, lung_slice: LungSlice) -> _Chest | None:
    pixels = volume.slice(lung_slice.slice_index)
    view = look(pixels, volume.unit)
    if view is None:
        return None
    size = view.grey.shape[::-1]
    mask = lung_slice.lung_mask.astype(np.uint8)
    lung: Mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    tissue = cv2.erode(view.body & (1 - dilate_disk(lung, 3)), disk(2)) > 0
    if not lung.any() or not tissue.any():
        return None
    grey = view.grey[tissue]
    low, middle, high = np.percentile(grey, (10, 50, 90))
    depth = max(float(middle) - float(np.median(view.grey[lung > 0])), 1.0)
    between = convex_hull(lung) & (1 - dilate_disk(lung, 1))
    return _Chest(
        tissue_spread=float(high - low) / depth,
        between=float(between.sum() / lung.sum()),
        lung_of_body=float(lung.sum() / (view.body | lung).sum()),
        leaning=_leaning(lung, between, view.center[0], view.width),
        spine_behind=_spine_behind(view, lung, float(middle) + 0.1 * depth),
        enhanced=_enhanced(pixels, lung, between) if volume.unit is Unit.HU else None,
    )


def _leaning(lung: Mask, between: Mask, middle: float, width: float) -> float:
    """How far the heart lies on the picture's right: its offset, and the smaller lung beside it."""
    front = between.copy()
    front[int(np.median(np.nonzero(lung)[0])) :] = 0
    columns = np.nonzero(front)[1]
    if columns.size == 0:
        return 0.0
    larger_left = float(lung[:, : int(middle)].sum() / lung.sum()) - 0.5
    return float((columns.mean() - middle) / width + larger_left)


def _spine_behind(view: View, lung: Mask, bone_above: float) -> float | None:
    """How far behind the middle of the lungs compact bone lies at the midline, in lung heights.

    None where the window shows bone and soft tissue alike.
    """
    bone = ((view.grey > bone_above) & (view.body > 0)).astype(np.uint8)
    reach = 0.13 * view.width
    bone[:, : max(int(view.center[0] - reach), 0)] = 0
    bone[:, int(view.center[0] + reach) :] = 0
    rows = np.nonzero(open_disk(bone, 2))[0]
    lung_rows = np.nonzero(lung)[0]
    if rows.size < 30:
        return None
    return float((rows.mean() - lung_rows.mean()) / max(np.ptp(lung_rows), 1))


def _enhanced(pixels: NDArray[np.number], lung: Mask, between: Mask) -> float | None:
    """Share of the tissue between the lungs, in front of the spine, that holds contrast medium."""
    size = lung.shape[::-1]
    hu = cv2.resize(np.asarray(pixels, np.float32), size, interpolation=cv2.INTER_AREA)
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
        f"Only {kept} of {examined} slices show complete lungs: this looks like an abdomen, or "
        f"another region with the edge of the lungs; send the chest series."
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


def _modality(chests: Sequence[_Chest]) -> Found:
    if _median(chests, lambda chest: chest.tissue_spread) > MAX_TISSUE_SPREAD:
        message = (
            "The tissue around the lungs varies as it does in MR, photographs or a soft-tissue "
            "window, and not as in CT with a lung window; send the CT series."
        )
        return (QualityFlag("not_lung_ct", message, blocks=True),)
    too_large = _median(chests, lambda chest: chest.lung_of_body) > MAX_LUNG_OF_BODY
    if too_large or _median(chests, lambda chest: chest.between) < MIN_BETWEEN:
        message = (
            "What looks like lung leaves no room for a heart: this is no chest, or a negative "
            "with black and white exchanged; send the CT series."
        )
        return (QualityFlag("not_a_chest", message, blocks=True),)
    return ()


def _side(volume: Volume, chests: Sequence[_Chest]) -> Found:
    # Not the lowest slices: there the liver pushes the other way.
    above = [chest.leaning for chest in chests[round(0.2 * len(chests)) :]]
    if len(chests) < FEW_SLICES or float(np.mean(above)) >= MIRRORED:
        return ()
    message = (
        "The heart seems to lie on the patient's right: a shifted mediastinum, a situs inversus, "
        "or mirrored pictures."
    )
    # A file with geometry says which side is which, so that only the patient is unusual.
    return (QualityFlag("heart_on_the_right", message, leaves_open=not volume.has_geometry),)


def _upright(chests: Sequence[_Chest]) -> Found:
    places = [chest.spine_behind for chest in chests if chest.spine_behind is not None]
    if len(places) < 3 or float(np.mean(places)) >= SPINE_IN_FRONT:
        return ()
    message = (
        "The spine seems to lie at the top of the pictures: they are upside down, or the patient "
        "lay on the belly; this model expects the back at the bottom."
    )
    return (QualityFlag("upside_down", message, leaves_open=True),)


def _contrast(share: float) -> Found:
    if share <= MAX_ENHANCED:
        return ()
    message = (
        f"Contrast medium: {share:.0%} of the tissue between the lungs is brighter than blood "
        f"without it; this model was trained on unenhanced scans."
    )
    return (QualityFlag("contrast_medium", message, leaves_open=True),)
