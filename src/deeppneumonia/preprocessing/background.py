"""What stands around the lungs in the network's picture, so that their outline says nothing."""

import hashlib
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray


def fill_background(picture: NDArray[np.uint8], *, copies: int = 10) -> NDArray[np.uint8]:
    """Lay translated and rotated copies of the lung behind it, the original on top.

    Copies leave the picture on one side and come in on the other, so that every place is covered
    equally likely; what still shows between them is the lung's median grey.
    The same picture always gives the same background, on every machine: angles and shifts are
    read from a hash of its content.

    Args:
        picture: (side, side) with 0 outside the lung and 1 to 255 inside.
        copies: how many are drawn; 10 in [1].

    Returns:
        (side, side), without any 0 if the picture holds any lung; lung pixels are unchanged.

    Source: [1] Song et al. 2021, doi 10.1109/TCBB.2021.3065361.
    """
    lung = picture > 0
    if not lung.any():
        return picture.copy()
    filled = np.full_like(picture, np.uint8(np.median(picture[lung])))
    side = picture.shape[0]
    for turn, right, down in _places(picture, copies):
        place = cv2.getRotationMatrix2D((side / 2, side / 2), 360 * turn, 1)
        place[:, 2] += (side * right, side * down)
        copy = cv2.warpAffine(
            picture, place, (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP
        )
        np.copyto(filled, copy, where=copy > 0)
    np.copyto(filled, picture, where=lung)
    return filled


def _places(picture: NDArray[np.uint8], copies: int) -> Iterator[tuple[float, float, float]]:
    """For each copy its turn, shift right and shift down, each 0 to 1, from the content's hash."""
    digest = hashlib.shake_256(picture.tobytes()).digest(6 * copies)
    numbers = np.frombuffer(digest, "<u2").reshape(copies, 3) / 65536
    yield from numbers.tolist()
