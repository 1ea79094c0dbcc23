"""Does a network point at the lesion? Heat maps and boxes against masks that a person drew.

All arrays of one picture lie on the same grid (rows, columns); boxes are x0, y0, x1, y1 on it.
Source: pointing game: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016;
energy: Wang et al., "Score-CAM", CVPR workshops 2020.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Boxes = NDArray[np.floating]


def share_of_lung(lesion: Mask, lung: Mask) -> float:
    """How much of the lung the lesion is: what a random point hits; ValueError without a lung."""
    if not lung.any():
        raise ValueError("chance needs a lung to draw points from")
    return float((lesion & lung).sum() / lung.sum())


def pointing_hit(heat: NDArray[np.floating], lesion: Mask) -> bool:
    """Whether the hottest place lies in the lesion; a map without heat points nowhere.

    Of several equally hot pixels the one nearest to their middle counts.
    """
    most = heat.max()
    if not most > 0:
        return False
    places = np.argwhere(heat >= most)
    nearest = np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()
    return bool(lesion[tuple(places[nearest])])


def energy_inside(heat: NDArray[np.floating], lesion: Mask) -> float:
    """Share of all heat that lies in the lesion, 0 to 1; 0 for a map without heat."""
    total = float(heat.sum())
    return float(heat[lesion].sum()) / total if total > 0 else 0.0


def hits(boxes: Boxes, lesion: Mask) -> Mask:
    """(K,): whether the middle of each box (K, 4) lies in the lesion."""
    rows, columns = lesion.shape
    x = ((boxes[:, 0] + boxes[:, 2]) / 2).astype(int)
    y = ((boxes[:, 1] + boxes[:, 3]) / 2).astype(int)
    on = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    found = np.zeros(len(boxes), bool)
    found[on] = lesion[y[on], x[on]]
    return found


def hit_at(boxes: Boxes, lesion: Mask, k: int) -> bool:
    """Whether the middle of any of the first k boxes lies in the lesion."""
    return bool(hits(boxes[:k], lesion).any())


def random_boxes(lung: Mask, boxes: Boxes, rng: np.random.Generator) -> Boxes:
    """Boxes of the same sizes, with their middles drawn evenly from the lung."""
    rows, columns = np.nonzero(lung)
    drawn = rng.integers(len(rows), size=len(boxes))
    half = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1) / 2
    middle = np.stack([columns[drawn], rows[drawn]], axis=1) + 0.5
    return np.concatenate([middle - half, middle + half], axis=1)
