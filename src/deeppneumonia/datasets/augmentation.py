"""Small changes that a lung may show without another diagnosis, drawn anew for every picture."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

_MOST = {"rotation_deg": 180, "noise": 100}
"""The greatest value of a field, where that is not 1."""

_GRAIN_PX = (0.1, 1.0)
"""From single pixels on; a coarser kernel has coarser noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How far a picture may be changed; each draw is uniform over its range."""

    flip_probability: float = 0.5
    """Chance of a mirror image, left for right."""

    brightness: float = 0.126
    """Grey is multiplied by 1 - this to 1 + this, as published."""

    contrast: float = 0.1
    """The distance to the picture's mean grey is multiplied by 1 - this to 1 + this."""

    gamma: float = 0.1
    """Grey (0 to 1) is raised to 1 - this to 1 + this."""

    rotation_deg: float = 10.0
    """Turned by up to so many degrees either way."""

    scale: float = 0.1
    """Zoomed by 1 - this to 1 + this."""

    shift: float = 0.05
    """Moved along each axis by up to this share of the side."""

    noise: float = 0.0
    """Half of the pictures get noise, as of a lower dose: up to this deviation in grey levels."""

    def __post_init__(self) -> None:
        for name in (item.name for item in fields(self)):
            value, most = getattr(self, name), _MOST.get(name, 1)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, not {value!r}")
            if not 0 <= value <= most:
                raise ValueError(f"{name} must lie between 0 and {most}, not {value}")


def augmented(
    picture: NDArray[np.uint8], config: AugmentConfig, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A changed copy of a (side, side) picture; the edge is mirrored where nothing is left."""
    moved = _moved(picture, _movement(picture.shape[0], config, random), cv2.INTER_LINEAR)
    changed = cv2.LUT(moved, _grey_curve(picture, config, random)).astype(np.uint8, copy=False)
    return _noisy(changed, config.noise, random) if config.noise else changed


def moved_alike(
    marks: NDArray[np.uint8], config: AugmentConfig, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Marks (side, side) on a picture, moved as `augmented` moves it for an equal generator."""
    return _moved(marks, _movement(marks.shape[0], config, random), cv2.INTER_NEAREST)


def _movement(
    side: int, config: AugmentConfig, random: np.random.Generator
) -> tuple[bool, NDArray[np.float64]]:
    """Whether a picture is mirrored, and the (2, 3) matrix that moves it then."""
    is_mirrored = bool(random.random() < config.flip_probability)
    angle_deg = random.uniform(-config.rotation_deg, config.rotation_deg)
    scale = random.uniform(1 - config.scale, 1 + config.scale)
    centre = (side - 1) / 2
    matrix: NDArray[np.float64] = np.asarray(
        cv2.getRotationMatrix2D((centre, centre), angle_deg, scale), np.float64
    )
    matrix[:, 2] += random.uniform(-config.shift, config.shift, size=2) * side
    return is_mirrored, matrix


def _moved(
    picture: NDArray[np.uint8], movement: tuple[bool, NDArray[np.float64]], interpolation: int
) -> NDArray[np.uint8]:
    is_mirrored, matrix = movement
    side = picture.shape[0]
    moved = cv2.warpAffine(
        np.ascontiguousarray(picture[:, ::-1] if is_mirrored else picture),
        matrix,
        (side, side),
        flags=interpolation,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return moved.astype(np.uint8, copy=False)


def _grey_curve(
    picture: NDArray[np.uint8], config: AugmentConfig, random: np.random.Generator
) -> NDArray[np.uint8]:
    """What each of the 256 grey levels becomes."""
    brightness, contrast, gamma = (
        random.uniform(1 - reach, 1 + reach)
        for reach in (config.brightness, config.contrast, config.gamma)
    )
    mean = picture.mean() / 255
    grey = (np.arange(256) / 255) ** gamma
    grey = (mean + contrast * (grey - mean)) * brightness
    curve: NDArray[np.uint8] = np.round(255 * grey.clip(0, 1)).astype(np.uint8)
    return curve


def _noisy(
    picture: NDArray[np.uint8], most: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture, or in half of the draws as a lower dose might have shown it."""
    deviation, grain_px = random.uniform(-most, most), random.uniform(*_GRAIN_PX)
    if deviation <= 0:
        return picture
    noise = random.standard_normal(picture.shape, np.float32)
    grains = np.asarray(cv2.GaussianBlur(noise, (0, 0), grain_px), np.float32)
    noisy = picture + np.float32(deviation) / grains.std() * grains
    changed: NDArray[np.uint8] = np.round(noisy.clip(0, 255)).astype(np.uint8)
    return changed
