"""Pictures that look like a chest and are no CT of one: MR, radiograph, negative, wrong window.

Made from a chest phantom, so that shape and size are those of a person: what gives them away is
how tissues look, as in life. They are likenesses for tests, without the physics of MR or x-ray.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.phantoms.config import Phantom
from deeppneumonia.phantoms.scanner import smooth_noise

Pictures = NDArray[np.uint8]
"""(slices, rows, columns), grey levels 0 to 255."""

LUNG_WINDOW_HU = (-600.0, 1500.0)
"""(centre, width) in which a lung is looked at."""

WRONG_WINDOWS = {"mediastinum": (40.0, 350.0), "bone": (500.0, 2000.0), "brain": (40.0, 80.0)}
"""(centre, width) in HU of windows in which a lung has no texture left."""

_MR_SIGNAL = ((-1000, 0.02), (-700, 0.04), (-300, 0.3), (-140, 1.0), (-70, 1.0), (-20, 0.45),
              (30, 0.30), (60, 0.38), (150, 0.5), (400, 0.15), (900, 0.03))  # fmt: skip
"""HU and the T1-weighted signal of the tissue that has it: fat bright, air and cortex dark."""


def windowed(phantom: Phantom, center_hu: float, width_hu: float) -> Pictures:
    """The slices in any window, as a program would export them."""
    grey = (phantom.volume.array - (center_hu - 0.5)) / (width_hu - 1) + 0.5  # PS3.3 C.11.2.1.2.1
    return _as_grey(grey)


def inverted(phantom: Phantom) -> Pictures:
    """The negative of the lung window: air white, tissue black."""
    return np.asarray(255 - windowed(phantom, *LUNG_WINDOW_HU), np.uint8)


def mr_like(phantom: Phantom) -> Pictures:
    """Axial slices with the contrast of a T1-weighted MR, a coil's shading and Rician noise."""
    hu = phantom.volume.array.astype(np.float32)
    levels, signals = zip(*_MR_SIGNAL, strict=True)
    signal = np.interp(hu, levels, signals).astype(np.float32)
    rng = np.random.default_rng([phantom.seed, 31])
    shading = smooth_noise(rng, phantom.config, 160)
    size = hu.shape[:0:-1]
    for index, picture in enumerate(signal):
        lit = picture * (1 + 0.25 * cv2.resize(shading[index], size).clip(-2, 2))
        real, imaginary = rng.normal(0, 0.03, (2, *picture.shape))
        signal[index] = np.hypot(cv2.GaussianBlur(lit, (0, 0), 0.8) + real, imaginary)
    return _as_grey(signal / np.percentile(signal, 99.5))


def radiographs(phantom: Phantom, count: int = 3) -> Pictures:
    """Chest radiographs of the phantom, front view, head up, in `count` exposures."""
    hu = phantom.volume.array.astype(np.float32)
    body_mm = (hu.clip(-1000, 2000) + 1000).sum(axis=1) / 1000 * phantom.config.spacing_mm[1]
    side = phantom.config.shape[1]
    view = cv2.resize(body_mm[::-1], (side, side), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng([phantom.seed, 32])
    pictures = []
    for exposure in np.linspace(0.8, 1.25, count):
        film = 1 - np.exp(-0.007 / exposure * view) + rng.normal(0, 0.012, view.shape)
        low, high = np.percentile(film, (0.5, 99.5))
        pictures.append((film - low) / (high - low))
    return _as_grey(np.stack(pictures))


def _as_grey(level: NDArray[np.floating]) -> Pictures:
    return np.asarray(np.round(255 * level.clip(0, 1)), np.uint8)
