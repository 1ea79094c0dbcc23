"""A first look at an axial slice: what is air, what is body, what lies around the patient."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit
from deeppneumonia.preprocessing.morphology import Mask, largest, open_disk, select
from deeppneumonia.preprocessing.windowing import apply_window

WORKING_PX = 256
"""Slices are looked at with this many pixels along their longer side: all lengths in pixels hold
for it, noise is averaged away, and a lung's outline is still right to about a millimetre."""

AIR_BELOW_HU = -400
"""The middle between lung (-850) and soft tissue (40)."""

VIEW_CENTER_HU, VIEW_WIDTH_HU = -400, 1400
"""Slices in HU are searched through this window: air stays apart from lung, bone is cut off."""

JPEG_NOISE = 3
"""Grey levels by which a uniform area of a JPEG picture may vary."""

CORNERS = ([0, 0, -1, -1], [0, -1, 0, -1])
"""Rows and columns of the four corners of a picture."""

TIGHT_OUTSIDE = 0.05
"""With a smaller share of air around it, a picture is cropped to the body: all tissue is body."""

MIN_BODY = 0.05
"""Least share of the slice for the body; less is an empty slice."""

OUTSIDE_CONTACT = 1.2
"""Air is outside when its contact with the edge exceeds this many times the root of its area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is known of a slice before lungs are looked for, at working size."""

    grey: NDArray[np.uint8]
    air: Mask
    outside: Mask
    body: Mask
    center: tuple[float, float]
    width: float
    tissue_grey: float
    air_grey: float
    """Level of air without lung; the level of the darkest lung where none is in the picture."""

    gas_depth: float
    """Depth from which air holds no lung: -958 HU; in a grey picture lung may look as deep."""

    def depth(self, grey: float) -> float:
        """Where a grey level lies between soft tissue (0) and air (1)."""
        return (self.tissue_grey - grey) / max(self.tissue_grey - self.air_grey, 1.0)


def look(pixels: NDArray[Any], unit: Unit) -> View | None:
    """Tell air, body and surroundings apart; None for a slice without a body."""
    if unit is Unit.HU:
        grey = _at_working_size(_searched(pixels))
        threshold = float(_searched(np.array([AIR_BELOW_HU]))[0])
    else:
        grey = _at_working_size(np.asarray(pixels, np.uint8))
        threshold = _otsu(grey)
    air = (grey <= threshold).astype(np.uint8)
    outside = _outside(air)
    thick = open_disk(1 - air, 2.5)
    body = thick if outside.mean() < TIGHT_OUTSIDE else largest(thick)
    if body.sum() < MIN_BODY * grey.size:
        return None
    left, top, width, height = cv2.boundingRect(body)
    return View(
        grey=grey,
        air=air,
        outside=outside,
        body=body,
        center=(left + width / 2, top + height / 2),
        width=width,
        tissue_grey=float(np.median(grey[body > 0])),
        air_grey=_level_of_air(grey, air, outside, unit),
        gas_depth=0.96 if unit is Unit.HU else 0.98,
    )


def _level_of_air(grey: NDArray[np.uint8], air: Mask, outside: Mask, unit: Unit) -> float:
    """Grey level of air without lung: known for HU, else seen around the patient or in airways."""
    if unit is Unit.HU:
        return float(_searched(np.array([-1000]))[0])
    around = grey[(outside > 0) & (grey > _padding(grey))]
    if around.size > 0.02 * grey.size:
        return float(np.median(around))
    inside = grey[(air > 0) & (outside == 0)]
    return float(np.percentile(inside, 1)) if inside.size else 0.0


def _searched(hu: NDArray[Any]) -> NDArray[np.uint8]:
    return apply_window(hu, center_hu=VIEW_CENTER_HU, width_hu=VIEW_WIDTH_HU)


def _otsu(grey: NDArray[np.uint8]) -> float:
    """The level between air and soft tissue; blank padding does not count."""
    blank = (grey <= _padding(grey)).astype(np.uint8)
    _, labels = cv2.connectedComponents(blank, connectivity=4)
    at_corners = np.isin(labels, labels[CORNERS]) & (blank > 0)
    seen = grey[~at_corners]
    if seen.size == 0:
        return 0.0
    threshold, _ = cv2.threshold(seen.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    return float(threshold)


def _padding(grey: NDArray[np.uint8]) -> float:
    """The level up to which pixels are the blank beyond a round field of view, if there is one."""
    return float(np.percentile(grey, 0.5)) + JPEG_NOISE


def _outside(air: Mask) -> Mask:
    """Air that holds a corner or runs along the edge; a lung cut by a crop does neither."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(air, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(edge, minlength=count)
    outside = contact > OUTSIDE_CONTACT * np.sqrt(stats[:, cv2.CC_STAT_AREA])
    outside[labels[CORNERS]] = True
    outside[0] = False
    return select(labels, outside)


def _at_working_size(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.medianBlur(at_working_size(grey), 3), np.uint8)


def at_working_size(pixels: NDArray[Any]) -> NDArray[Any]:
    """A slice with WORKING_PX along its longer side, of the same type."""
    scale = WORKING_PX / max(pixels.shape)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how))
