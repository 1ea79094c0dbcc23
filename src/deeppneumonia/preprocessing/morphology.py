"""A few operations on masks (uint8, 0 or 1), fast at any radius."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Component:
    """One connected piece of a mask, cut out with a margin."""

    label: int
    area: int
    center_x: float
    center_y: float
    left: int
    right: int
    rectangle_fraction: float
    """Share of its bounding rectangle that it fills."""

    window: tuple[slice, slice]
    """Rows and columns of its surroundings in the picture."""

    mask: Mask
    """The piece, in that window."""


def disk(radius: float) -> Mask:
    """A disk as a structuring element, at least 3 pixels wide."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def open_disk(mask: Mask, radius: float) -> Mask:
    """The mask without whatever is thinner than the disk."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disk(radius)), np.uint8)


def dilate_disk(mask: Mask, radius: float) -> Mask:
    """The mask grown by the radius."""
    return np.asarray(cv2.dilate(mask, disk(radius)), np.uint8)


def close_disk(mask: Mask, radius: float) -> Mask:
    """The mask with every bay filled that the disk cannot enter; fast at any radius."""
    margin = int(radius) + 2
    window = around(mask, 0)
    small = mask[window]
    padded = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    grown = (cv2.distanceTransform(1 - padded, cv2.DIST_L2, 3) <= radius).astype(np.uint8)
    closed = (cv2.distanceTransform(grown, cv2.DIST_L2, 3) > radius).astype(np.uint8)
    return pasted(closed[margin:-margin, margin:-margin] | small, window, mask)


def fill_holes(mask: Mask, max_area: float) -> Mask:
    """The mask with holes up to an area in pixels filled."""
    window = around(mask, 1)  # a rim, where there is room for one: what reaches it is no hole
    return pasted(_without_holes(mask[window], max_area), window, mask)


def _without_holes(mask: Mask, max_area: float) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    rows, columns = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    fills = (left > 0) & (top > 0) & (right < columns) & (bottom < rows)
    fills &= stats[:, cv2.CC_STAT_AREA] <= max_area
    fills[0] = False
    return mask | select(labels, fills[:count])


def around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all of the mask and a margin, as far as the picture reaches."""
    left, top, width, height = cv2.boundingRect(mask)
    return (
        slice(max(top - margin, 0), top + height + margin),
        slice(max(left - margin, 0), left + width + margin),
    )


def pasted(small: Mask, window: tuple[slice, slice], mask: Mask) -> Mask:
    """A mask of the size of another one, 0 but for what stands in a window."""
    whole = np.zeros_like(mask)
    whole[window] = small
    return whole


def convex_hull(mask: Mask) -> Mask:
    """The convex hull of all of the mask, which must not be empty."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.zeros_like(mask)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(outlines)), 1)
    return hull


def largest(mask: Mask) -> Mask:
    """The largest connected piece of the mask."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    chosen = np.zeros(len(stats), bool)
    if len(stats) > 1:
        chosen[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])] = True
    return select(labels, chosen)


def without_specks(mask: Mask, min_area: float) -> Mask:
    """The mask without pieces smaller than an area in pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    stays = stats[:, cv2.CC_STAT_AREA] >= min_area
    stays[0] = False
    return select(labels, stays)


def touching(mask: Mask, seeds: Mask) -> Mask:
    """The pieces of the mask that hold any pixel of the seeds."""
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    stays = np.zeros(count, np.bool_)
    stays[labels[seeds > 0]] = True
    stays[0] = False
    return select(labels, stays)


def select(labels: Any, chosen: NDArray[np.bool_]) -> Mask:
    """The mask of all pixels whose label is chosen; `chosen` holds one truth value a label."""
    return np.asarray(chosen.astype(np.uint8).take(labels))


def components(mask: Mask, *, min_area: float, margin: int = 4) -> list[Component]:
    """The connected pieces (4 neighbours) of at least an area in pixels, each in its window."""
    count, labels, stats, centers = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = []
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < min_area:
            continue
        left, top, width, height, area = (int(value) for value in stats[label])
        window = (
            slice(max(top - margin, 0), top + height + margin),
            slice(max(left - margin, 0), left + width + margin),
        )
        found.append(
            Component(
                label=label,
                area=area,
                center_x=float(centers[label, 0]),
                center_y=float(centers[label, 1]),
                left=left,
                right=left + width,
                rectangle_fraction=area / (width * height),
                window=window,
                mask=(labels[window] == label).astype(np.uint8),
            )
        )
    return found
