"""The same slice as it is not: without lungs, without chest, in pieces, softer, noisier.

What a network makes of these pictures says what it relies on. Each is made the way the ordinary
picture is made, so that nothing else differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import LungSlice
from deeppneumonia.preprocessing.background import fill_background
from deeppneumonia.preprocessing.config import Fill, PreprocessConfig
from deeppneumonia.preprocessing.crops import FOREGROUND
from deeppneumonia.preprocessing.picture import make_picture, on_picture

Picture = NDArray[np.uint8]

PATCH = 14
"""Patches along one side of a shuffled picture: 32 px of 448, about 20 mm of a lung."""

PATCH_IS_LUNG = 0.9
"""Share of a patch that must be lung for it to be shuffled."""

WINDOW_FACTORS = (0.6, 0.8, 1.25, 1.7)
"""By how much the window is made narrower or wider."""

KERNEL_SIGMAS = (-1.0, 0.7, 1.4, 2.8)
"""Blur in source pixels; the negative one sharpens."""

NOISE_LEVELS = (4.0, 8.0, 16.0, 32.0)
"""Standard deviation of added noise, in grey levels."""


def views_without(lung_slice: LungSlice, config: PreprocessConfig) -> dict[str, Picture | None]:
    """Pictures that lack something; None where the source cannot give one.

    `outside_only`: the lungs blacked out, chest wall and heart as they were; None where the source
    was already cut to the lung. Around the lungs of the network's own picture there is nothing, or
    with Fill.FILL copies of their tissue, so that its surroundings would be no control.
    `silhouette_only`: an even grey in the shape of the lungs. `patches_shuffled`: the lungs' own
    patches in other places.
    """
    cut = _cut_out(lung_slice, config)
    lung = cut > 0
    return {
        "outside_only": _around(lung_slice, config),
        "silhouette_only": np.where(lung, np.uint8(np.median(cut[lung])), 0).astype(np.uint8),
        "patches_shuffled": _filled(_shuffled(cut, lung_slice.slice_index), config),
    }


def curves(lung_slice: LungSlice, config: PreprocessConfig) -> dict[str, dict[str, Picture]]:
    """For each kind of disturbance, the picture at each level, the mildest first."""
    grey = lung_slice.grey.astype(np.float32)
    rng = np.random.default_rng([lung_slice.slice_index, 41])
    noise = rng.standard_normal(grey.shape, np.float32)
    changes: Mapping[str, Mapping[float, Callable[[float], NDArray[np.float32]]]] = {
        "window": dict.fromkeys(WINDOW_FACTORS, lambda factor: 128 + (grey - 128) / factor),
        "kernel": dict.fromkeys(KERNEL_SIGMAS, lambda sigma: _kernel(grey, sigma)),
        "noise": dict.fromkeys(NOISE_LEVELS, lambda level: grey + level * noise),
    }
    return {
        kind: {
            f"{level:g}": _picture_of(lung_slice, change(level), config)
            for level, change in levels.items()
        }
        for kind, levels in changes.items()
    }


def _picture_of(
    lung_slice: LungSlice, grey: NDArray[np.float32], config: PreprocessConfig
) -> Picture:
    changed = np.round(grey.clip(0, 255)).astype(np.uint8)
    return make_picture(changed, lung_slice.lung_mask, config)[0]


def _kernel(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), abs(sigma)), np.float32)
    return soft if sigma > 0 else grey + 1.0 * (grey - soft)


def _cut_out(lung_slice: LungSlice, config: PreprocessConfig) -> Picture:
    """The lungs on black."""
    black = replace(config, fill=Fill.BLACK)
    return make_picture(lung_slice.grey, lung_slice.lung_mask, black)[0]


def _filled(cut: Picture, config: PreprocessConfig) -> Picture:
    if config.fill is Fill.FILL:
        return fill_background(cut, copies=config.fill_copies)
    return cut


def _around(lung_slice: LungSlice, config: PreprocessConfig) -> Picture | None:
    """The picture's square of the slice without its lungs; None where nothing else is in it."""
    outside = lung_slice.grey[~lung_slice.lung_mask]
    if outside.size == 0 or float((outside > FOREGROUND).mean()) < 0.05:
        return None
    # In the slice and with a rim: a mask trimmed for the network would leave some lung.
    lung = cv2.dilate(lung_slice.lung_mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    bare = np.where(lung, 0, lung_slice.grey).astype(np.uint8)
    return on_picture(bare, lung_slice.frame, config.picture_px)


def _shuffled(cut: Picture, seed: int) -> Picture:
    """The lungs on black, with the patches that lie inside them in other places."""
    side = cut.shape[0] // PATCH
    places = [
        (slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
        for row in range(PATCH)
        for column in range(PATCH)
    ]
    inside = [place for place in places if (cut[place] > 0).mean() >= PATCH_IS_LUNG]
    order = np.random.default_rng([seed, 42]).permutation(len(inside))
    shuffled = np.zeros_like(cut)
    for place, source in zip(inside, order.tolist(), strict=True):
        shuffled[place] = cut[inside[source]]
    return shuffled
