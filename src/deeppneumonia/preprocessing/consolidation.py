"""Lung without air between its airways: a consolidated lobe, known by the bronchi that stay open.

Consolidation is as dense as heart, liver and chest wall, so its own grey level does not tell it
from them. What does is the air bronchogram: specks of air inside the rib cage, in dense tissue,
where neither heart nor liver has any. A lobe reaches from speck to speck, from there to the lung
around it, and to the ribs where no lung with air lies between.
"""

import cv2
import numpy as np

from deeppneumonia.preprocessing.envelope import behind_the_last
from deeppneumonia.preprocessing.morphology import (
    Mask,
    close_disk,
    components,
    convex_hull,
    dilate_disk,
    open_disk,
    select,
)
from deeppneumonia.preprocessing.view import View

# Lengths are shares of the body's length scale, areas of the body's area, as in `envelope`.
SPECK_DEPTH = 0.25
"""Least depth of air in a bronchus, which is hardly wider than a pixel."""

DENSE_DEPTH = 0.2
"""Consolidation is no deeper; ground glass and the blurred edge of a lung are."""

SOLID = 0.015
"""Thinner air than twice this is a bronchus, even where it opens into lung with air."""

MIN_SPECKS = 3
"""Fewer are chance: gas in the gullet, fat in a noisy slice."""

MIDLINE = 0.13
"""Share of the body's width beside the midline where air is windpipe, main bronchus or gullet."""

REACH = 0.07
"""Half the distance between specks of one lobe."""

RIM = 0.04
"""How far beyond its specks a lobe holds on all sides."""

COSTAL = 0.3
"""How far a lobe may reach from its specks to the ribs."""


def consolidated_lung(view: View, aerated: Mask, other_air: Mask, body_area: float) -> Mask:
    """Consolidated parts of both lungs, as far as air bronchograms show them.

    Args:
        view: the slice.
        aerated: what is known to be lung; must not be empty.
        other_air: air that is no lung's.
        body_area: in pixels.
    """
    scale = body_area**0.5
    cavity = _cavity(aerated, view.center[0])
    solid = dilate_disk(open_disk(aerated, SOLID * scale), 3)
    specks = _in_dense_tissue(view, cavity & (1 - solid) & (1 - other_air))
    lobes = _held_together(specks, _beside_midline(specks, view), REACH * scale)
    if not lobes.any():
        return lobes
    near = dilate_disk(lobes, RIM * scale)
    lobes = (close_disk(lobes | aerated, REACH * scale) | near) & near & cavity
    (bays,) = behind_the_last(
        [lobes | aerated], [cavity], view.center, scale, depth=COSTAL, after=lobes
    )
    lobes |= bays
    return lobes & (1 - other_air)


def _cavity(aerated: Mask, middle: float) -> Mask:
    """Inside the rib cage: the hull of the lungs and of their mirror image."""
    turn = np.array([[-1, 0, 2 * middle - 1], [0, 1, 0]], np.float64)
    mirrored = cv2.warpAffine(aerated, turn, aerated.shape[::-1], flags=cv2.INTER_NEAREST)
    return convex_hull(aerated | np.asarray(mirrored, np.uint8))


def _in_dense_tissue(view: View, where: Mask) -> Mask:
    """Specks of air with dense tissue around them."""
    span = view.tissue_grey - view.air_grey
    airy = (view.grey < view.tissue_grey - SPECK_DEPTH * span).astype(np.uint8)
    dense = view.grey > view.tissue_grey - DENSE_DEPTH * span
    specks = np.zeros_like(where)
    for piece in components(airy & where, min_area=1):
        rim = dilate_disk(piece.mask, 2) & (1 - dilate_disk(piece.mask, 1))
        if dense[piece.window][rim > 0].mean() > 0.5:
            specks[piece.window] |= piece.mask
    return specks


def _beside_midline(specks: Mask, view: View) -> Mask:
    """The specks that are no windpipe, main bronchus or gullet."""
    middle, reach = round(view.center[0]), round(MIDLINE * view.width)
    beside = specks.copy()
    beside[:, max(middle - reach, 0) : middle + reach] = 0
    return beside


def _held_together(specks: Mask, counted: Mask, reach: float) -> Mask:
    """Areas that hold at least MIN_SPECKS specks, each within twice the reach of the next."""
    if not counted.any():
        return counted
    areas = close_disk(specks, reach)
    count, labels = cv2.connectedComponents(areas, connectivity=4)
    held = np.zeros(count, np.int64)
    for piece in components(counted, min_area=1, margin=0):
        held[labels[piece.window][piece.mask > 0][0]] += 1
    held[0] = 0
    return select(labels, held >= MIN_SPECKS)
