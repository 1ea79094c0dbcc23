"""The lungs in one axial slice, by classical means: air inside the body, then all around it.

1. Air is what is darker than the middle between air and soft tissue: fixed for HU, Otsu's
   threshold for grey pictures, whose window is unknown.
2. Air that runs along the picture's edge is outside; the body is the largest thick piece of
   tissue, so a table is never it. Lung is air enclosed by the body: not trachea, not bowel gas.
3. Airways that open into a lung are cut off; half-aerated lung next to it is added.
4. Dense tissue that holds air bronchograms is lung too (see `consolidation`).
5. Each lung is closed and completed towards the ribs (see `envelope`), so that consolidation at
   the pleura stays inside while heart and liver stay outside.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit
from deeppneumonia.preprocessing.consolidation import consolidated_lung
from deeppneumonia.preprocessing.envelope import cover_lungs
from deeppneumonia.preprocessing.morphology import (
    Component,
    Mask,
    components,
    convex_hull,
    dilate_disk,
    open_disk,
    touching,
    without_specks,
)
from deeppneumonia.preprocessing.view import View, look

MIN_SIDE_PX = 64
"""Smaller pictures show no lungs that could be outlined."""

MIN_LUNG = 0.003
"""Least share of the body's area for a piece of lung."""

ENCLOSED = 0.4
"""Least share of a piece of lung's tissue rim that belongs to the body."""

# Depth of air: 0 is soft tissue, 1 the air around the patient; a lung lies between 0.6 and 0.95.
SMALL_GAS_DEPTH, SMALL_GAS = 0.92, 0.01
"""Pieces up to this share of the body are gas from this depth on; larger ones from
`View.gas_depth` on. Both only in the front half of the body, where gas rises to."""

MAX_GAS = 0.12
"""Larger pieces are lung, however dark: an emphysema is darker than its window can tell."""

SOAKED_DEPTH = 0.25
"""Least depth of half-aerated lung; fat (-100 HU) stays below 0.15."""

SOAKED_REACH = 0.15
"""Half-aerated lung is looked for within this share of the body scale around aerated lung."""


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
    view = look(pixels, unit)
    if view is None:
        return nothing
    pieces = _enclosed_air(view)
    body_area = float(view.body.sum()) + sum(piece.area for piece in pieces)
    aerated, other_air = np.zeros_like(view.air), np.zeros_like(view.air)
    for piece in pieces:
        is_lung = not _is_other_air(view, piece, body_area)
        (aerated if is_lung else other_air)[piece.window] |= piece.mask
    if not aerated.any():
        return nothing
    other_air = dilate_disk(other_air | _airways(view, aerated, body_area), 0.008 * body_area**0.5)
    lungs = _complete(view, aerated, other_air, body_area)
    return np.asarray(cv2.resize(255 * lungs, pixels.shape[::-1]) > 127)


def _complete(view: View, aerated: Mask, other_air: Mask, body_area: float) -> Mask:
    """Both whole lungs, from what holds air."""
    aerated = without_specks(aerated & (1 - other_air), MIN_LUNG * body_area)
    aerated = _with_soaked(view, aerated, other_air, body_area**0.5)
    if aerated.any():
        aerated |= consolidated_lung(view, aerated, other_air, body_area)
    lungs = np.zeros_like(aerated)
    sides = [side for side in _left_and_right(view, aerated) if side.any()]
    for lung in cover_lungs(sides, center=view.center, body_area=body_area) if sides else ():
        lungs |= lung
    return lungs & (1 - other_air)


def _enclosed_air(view: View) -> list[Component]:
    """Pieces of air whose rim is body: not the hollow of a table, not air under a blanket."""
    min_area = MIN_LUNG * float(view.body.sum())
    hull = convex_hull(view.body)
    enclosed = []
    for piece in components(view.air & (1 - view.outside), min_area=min_area):
        rim = dilate_disk(piece.mask, 2) & (1 - piece.mask) & (1 - view.air[piece.window])
        inside = (piece.mask & hull[piece.window]).sum() / piece.area
        if inside > 0.5 and (rim & view.body[piece.window]).sum() > ENCLOSED * rim.sum():
            enclosed.append(piece)
    return enclosed


def _is_other_air(view: View, piece: Component, body_area: float) -> bool:
    """Whether enclosed air is trachea, or gas in stomach or bowel."""
    central = abs(piece.center_x - view.center[0]) < 0.1 * view.width
    if central and piece.area < 0.02 * body_area and piece.rectangle_fraction > 0.45:
        return True
    if piece.center_y > view.center[1]:
        return False
    depth = view.depth(float(np.median(view.grey[piece.window][piece.mask > 0])))
    if piece.area < SMALL_GAS * body_area:
        return depth > SMALL_GAS_DEPTH
    return piece.area < MAX_GAS * body_area and depth > view.gas_depth


def _airways(view: View, aerated: Mask, body_area: float) -> Mask:
    """Main bronchi and trachea where they open into a lung: dark, central, with a wall."""
    radius = 0.008 * body_area**0.5
    lung_grey = float(np.median(view.grey[aerated > 0]))
    dark = (view.grey < lung_grey - 0.6 * (lung_grey - view.air_grey)).astype(np.uint8)
    airways = np.zeros_like(aerated)
    for piece in components(open_disk(dark & aerated, radius), min_area=0.0004 * body_area):
        rim = dilate_disk(piece.mask, 2) & (1 - piece.mask)
        wall = (rim & (1 - view.air[piece.window])).sum() / rim.sum()
        central = abs(piece.center_x - view.center[0]) < 0.14 * view.width
        if central and wall > 0.3 and piece.area < 0.02 * body_area:
            airways[piece.window] |= piece.mask
    return airways


def _with_soaked(view: View, aerated: Mask, airways: Mask, scale: float) -> Mask:
    """Aerated lung together with the half-aerated lung that it touches."""
    limit = view.tissue_grey - SOAKED_DEPTH * (view.tissue_grey - view.air_grey)
    near = cv2.distanceTransform(1 - aerated, cv2.DIST_L2, 3) < SOAKED_REACH * scale
    soaked = ((view.grey < limit) & near).astype(np.uint8) & (1 - view.outside) & (1 - airways)
    return touching(open_disk(soaked, 1) | aerated, aerated)


def _left_and_right(view: View, aerated: Mask) -> tuple[Mask, Mask]:
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
