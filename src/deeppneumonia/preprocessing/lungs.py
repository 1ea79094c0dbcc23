"""The lungs in one axial slice, by classical means: air inside the body, then all around it.

1. Air is what is darker than the middle between air and soft tissue: fixed for HU, Otsu's
   threshold for grey pictures, whose window is unknown.
2. Air that runs along the picture's edge is outside; the body is the largest thick piece of
   tissue, so a table is never it. Lung is air enclosed by the body: not trachea, not bowel gas.
3. Airways that open into a lung are cut off; half-aerated lung next to it is added.
4. Each lung is closed and completed towards the ribs (see `envelope`), so that consolidation at
   the pleura stays inside while heart and liver stay outside.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit
from deeppneumonia.preprocessing.envelope import cover_lung
from deeppneumonia.preprocessing.morphology import (
    Component,
    Mask,
    components,
    dilate_disk,
    fill_outline,
    largest,
    open_disk,
    select,
    touching,
    without_specks,
)
from deeppneumonia.preprocessing.windowing import apply_window

AIR_BELOW_HU = -400
"""The middle between lung (-850) and soft tissue (40)."""

VIEW_CENTER_HU, VIEW_WIDTH_HU = -400, 1400
"""Slices in HU are searched through this window: air stays apart from lung, bone is cut off."""

PADDING_GREY = 3
"""Grey level up to which a pixel is the blank beyond a scanner's round field of view."""

MIN_SIDE_PX = 64
"""Smaller pictures show no lungs that could be outlined."""

MIN_BODY = 0.05
"""Least share of the slice for the body; less is an empty slice."""

OUTSIDE_CONTACT = 1.2
"""Air is outside when its contact with the edge exceeds this many times the root of its area."""

MIN_LUNG = 0.003
"""Least share of the body's area for a piece of lung."""

ENCLOSED = 0.4
"""Least share of a piece of lung's tissue rim that belongs to the body."""

# Depth of air: 0 is soft tissue, 1 the air around the patient; a lung lies between 0.6 and 0.95.
GAS_DEPTH, SMOOTH_GAS_DEPTH = 0.985, 0.96
"""Certainly gas, and gas if there are no vessels in it."""

SOAKED_DEPTH = 0.25
"""Least depth of half-aerated lung; fat (-100 HU) stays below 0.15."""

SOAKED_REACH = 0.15
"""Half-aerated lung is looked for within this share of the body scale around aerated lung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """What is known of a slice before lungs are looked for."""

    grey: NDArray[np.uint8]
    air: Mask
    outside: Mask
    body: Mask
    center: tuple[float, float]
    width: float
    tissue_grey: float
    air_grey: float | None
    """Level of the air around the patient; None when the picture shows none."""

    def depth(self, grey: float) -> float:
        """Where a grey level lies between soft tissue (0) and air (1); 0 if air is unknown."""
        if self.air_grey is None:
            return 0.0
        return (self.tissue_grey - grey) / max(self.tissue_grey - self.air_grey, 1.0)


def find_lungs(pixels: NDArray[Any], unit: Unit) -> NDArray[np.bool_]:
    """The lungs in one axial slice, vessels, nodules and consolidation included.

    Trachea, main bronchi, air around the patient, scanner table and bowel gas are left out.

    Args:
        pixels: (rows, columns): HU, or grey levels 0 to 255 in any window that shows lung.
        unit: what the pixels are.

    Returns:
        (rows, columns); nothing is true when the slice shows no lungs.
    """
    nothing = np.zeros(pixels.shape, np.bool_)
    if min(pixels.shape) < MIN_SIDE_PX:
        return nothing
    view = _look(pixels, unit)
    if view is None:
        return nothing
    pieces = _enclosed_air(view)
    body_area = float(view.body.sum()) + sum(piece.area for piece in pieces)
    aerated = np.zeros(pixels.shape, np.uint8)
    for piece in pieces:
        if piece.area >= MIN_LUNG * body_area and not _is_other_air(view, piece, body_area):
            aerated[piece.window] |= piece.mask
    if not aerated.any():
        return nothing
    return _complete(view, aerated, body_area)


def _complete(view: _Slice, aerated: Mask, body_area: float) -> NDArray[np.bool_]:
    """Both whole lungs, from what holds air."""
    airways = _airways(view, aerated, body_area)
    aerated = without_specks(aerated & (1 - airways), MIN_LUNG * body_area)
    aerated = _with_soaked(view, aerated, airways, body_area**0.5)
    lungs = np.zeros_like(aerated)
    for side in _left_and_right(view, aerated):
        if side.any():
            lungs |= cover_lung(side, center=view.center, body_area=body_area)
    return (lungs & (1 - airways)).astype(bool)


def _look(pixels: NDArray[Any], unit: Unit) -> _Slice | None:
    """Tell air, body and surroundings apart; None for a slice without a body."""
    if unit is Unit.HU:
        grey, threshold = _searched(pixels), float(_searched(np.array([AIR_BELOW_HU]))[0])
    else:
        grey = np.asarray(pixels, np.uint8)
        threshold = _otsu(grey)
    grey = np.asarray(cv2.medianBlur(grey, 5 if min(grey.shape) >= 300 else 3), np.uint8)
    air = (grey <= threshold).astype(np.uint8)
    outside = _outside(air)
    body = largest(open_disk(1 - air, (grey.size**0.5) / 100))
    if body.sum() < MIN_BODY * grey.size:
        return None
    left, top, width, height = cv2.boundingRect(body)
    around = grey[(outside > 0) & (grey > PADDING_GREY)]
    air_grey = float(np.median(around)) if around.size > 0.02 * grey.size else None
    return _Slice(
        grey=grey,
        air=air,
        outside=outside,
        body=body,
        center=(left + width / 2, top + height / 2),
        width=width,
        tissue_grey=float(np.median(grey[body > 0])),
        air_grey=float(_searched(np.array([-1000]))[0]) if unit is Unit.HU else air_grey,
    )


def _searched(hu: NDArray[Any]) -> NDArray[np.uint8]:
    return apply_window(hu, center_hu=VIEW_CENTER_HU, width_hu=VIEW_WIDTH_HU)


def _otsu(grey: NDArray[np.uint8]) -> float:
    """The level between air and soft tissue; blank padding does not count."""
    seen = grey[grey > PADDING_GREY]
    if seen.size == 0:
        return 0.0
    threshold, _ = cv2.threshold(seen.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    return float(threshold)


def _outside(air: Mask) -> Mask:
    """Air that runs along the edge; a lung that a tight crop has cut touches it only shortly."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(air, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(edge, minlength=count)
    outside = contact > OUTSIDE_CONTACT * np.sqrt(stats[:, cv2.CC_STAT_AREA])
    outside[0] = False
    return select(labels, outside)


def _enclosed_air(view: _Slice) -> list[Component]:
    """Pieces of air whose rim is body: not the hollow of a table, not air under a blanket."""
    min_area = 0.7 * MIN_LUNG * float(view.body.sum())
    enclosed = []
    for piece in components(view.air & (1 - view.outside), min_area=min_area):
        rim = dilate_disk(piece.mask, 3) & (1 - piece.mask) & (1 - view.air[piece.window])
        if (rim & view.body[piece.window]).sum() > ENCLOSED * rim.sum():
            enclosed.append(piece)
    return enclosed


def _is_other_air(view: _Slice, piece: Component, body_area: float) -> bool:
    """Whether enclosed air is trachea, or gas in stomach or bowel."""
    central = abs(piece.center_x - view.center[0]) < 0.1 * view.width
    if central and piece.area < 0.02 * body_area and piece.rectangle_fraction > 0.45:
        return True
    depth = view.depth(float(np.median(view.grey[piece.window][piece.mask > 0])))
    vessels = 1 - piece.area / float(fill_outline(np.pad(piece.mask, 1)).sum())
    smooth = vessels < 0.005 or piece.area < 0.03 * body_area
    return depth > GAS_DEPTH or (depth > SMOOTH_GAS_DEPTH and smooth)


def _airways(view: _Slice, aerated: Mask, body_area: float) -> Mask:
    """Main bronchi and trachea where they open into a lung: dark, central, with a wall."""
    radius = 0.008 * body_area**0.5
    lung_grey = float(np.median(view.grey[aerated > 0]))
    air_grey = view.air_grey
    if air_grey is None:
        air_grey = float(np.percentile(view.grey[(view.air & (1 - view.outside)) > 0], 1))
    dark = (view.grey < lung_grey - 0.6 * (lung_grey - air_grey)).astype(np.uint8)
    airways = np.zeros_like(aerated)
    for piece in components(open_disk(dark & aerated, radius), min_area=0.0004 * body_area):
        rim = dilate_disk(piece.mask, 4) & (1 - piece.mask)
        wall = (rim & (1 - view.air[piece.window])).sum() / rim.sum()
        central = abs(piece.center_x - view.center[0]) < 0.14 * view.width
        if central and wall > 0.3 and piece.area < 0.02 * body_area:
            airways[piece.window] |= piece.mask
    return dilate_disk(airways, radius)


def _with_soaked(view: _Slice, aerated: Mask, airways: Mask, scale: float) -> Mask:
    """Aerated lung together with the half-aerated lung that it touches."""
    air_grey = view.air_grey
    if air_grey is None:
        air_grey = float(np.percentile(view.grey[(view.air & (1 - view.outside)) > 0], 1))
    limit = view.tissue_grey - SOAKED_DEPTH * (view.tissue_grey - air_grey)
    near = cv2.distanceTransform(1 - aerated, cv2.DIST_L2, 3) < SOAKED_REACH * scale
    soaked = ((view.grey < limit) & near).astype(np.uint8) & (1 - view.outside) & (1 - airways)
    return touching(open_disk(soaked, 2) | aerated, aerated)


def _left_and_right(view: _Slice, aerated: Mask) -> tuple[Mask, Mask]:
    """The lung on the picture's left and the one on its right; joined lungs are cut apart."""
    left, right = np.zeros_like(aerated), np.zeros_like(aerated)
    middle, reach = view.center[0], 0.12 * view.width
    for piece in components(aerated, min_area=1, margin=0):
        if piece.left < middle - reach and piece.right > middle + reach:
            first = round(middle - reach) - piece.left
            heights = piece.mask.sum(axis=0)[first : first + round(2 * reach)]
            cut = first + int(np.argmin(heights))
            left[piece.window][:, :cut] |= piece.mask[:, :cut]
            right[piece.window][:, cut:] |= piece.mask[:, cut:]
        else:
            side = left if piece.center_x < middle else right
            side[piece.window] |= piece.mask
    return left, right
