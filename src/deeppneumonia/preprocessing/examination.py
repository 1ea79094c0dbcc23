"""From a volume to the lung slices that a network sees, and an account of what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import LungSlice, QualityFlag, Unit, Volume
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import PreprocessingError
from deeppneumonia.preprocessing.config import PreprocessConfig
from deeppneumonia.preprocessing.crops import find_cut_lungs
from deeppneumonia.preprocessing.lungs import find_lungs
from deeppneumonia.preprocessing.morphology import Mask
from deeppneumonia.preprocessing.picture import make_picture
from deeppneumonia.preprocessing.slices import chest_of, equal_slices
from deeppneumonia.preprocessing.squares import SquareGrid
from deeppneumonia.preprocessing.view import at_working_size
from deeppneumonia.preprocessing.windowing import in_lung_window

FULL_SLICE_PX = 512 * 512
"""Against this a lung is counted whose slice is unknown, because the picture is cut to it."""

PLAUSIBLE_LUNG_ML = (500.0, 12_000.0)
"""Both lungs of an adult hold 2 to 9 litres at CT; outside these wide limits something is wrong."""

THREADS = 2
"""Slices whose lungs are looked for at a time; OpenCV lets other threads run meanwhile."""

NO_LUNG = "no lung found"
INCOMPLETE = "incomplete lung"
BLACK_LUNG = "lung without grey levels"


class NoLungsError(PreprocessingError):
    """No slice of the volume shows enough lung."""

    def __init__(self, dropped: Sequence["DroppedSlice"]) -> None:
        super().__init__(
            f"No usable lungs in {counted(len(dropped), 'slice')} examined "
            f"({_kinds(dropped)}); a chest CT in axial slices is needed. "
            "Check that this is the right series, and that pictures were exported in a lung window."
        )


@dataclass(frozen=True, slots=True)
class DroppedSlice:
    """A slice that was examined and not kept."""

    slice_index: int
    """Position in the volume, 0 at the feet."""

    kind: str
    """NO_LUNG, INCOMPLETE or BLACK_LUNG."""

    reason: str
    """The kind with its figures, for a person."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The part of a slice that was looked at, small."""

    pixels: NDArray[np.float32]
    """In the unit of the volume."""

    lung: Mask
    """The lungs in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that preprocessing found out about a volume."""

    kept: tuple[LungSlice, ...]
    """From the feet; may be empty."""

    reduced: tuple[Reduced, ...]
    """Of each kept slice, a small copy: nothing is decoded twice."""

    whole: Mapping[int, NDArray[Any]]
    """The first, the middle and the last slice that were examined, by index, as they were read."""

    dropped: tuple[DroppedSlice, ...]
    flags: tuple[QualityFlag, ...]
    """What preprocessing noticed; the reader's flags are in `Volume.flags`."""

    facts: Mapping[str, object]
    """For the record, ready for JSON: counts, lung volume, window, fill."""


def preprocess(
    volume: Volume,
    config: PreprocessConfig = PreprocessConfig(),  # noqa: B008  (frozen, so sharing is safe)
) -> list[LungSlice]:
    """The lung slices of a volume, from the feet.

    Raises:
        NoLungsError: when no slice shows enough lung.
    """
    examination = examine(volume, config)
    if not examination.kept:
        raise NoLungsError(examination.dropped)
    return list(examination.kept)


def examine(
    volume: Volume,
    config: PreprocessConfig = PreprocessConfig(),  # noqa: B008  (frozen, so sharing is safe)
) -> Examination:
    """The same as `preprocess`, with an account of what was dropped and noticed; never refuses."""
    part = range(len(volume))
    indices, whole, looked = _look(volume, part, config)
    if volume.has_geometry:
        lung_px = [one.lung_px for one in looked]
        chest = chest_of(len(volume), indices, lung_px, volume.spacing_mm[0])
        if chest is not None:
            part = chest
            indices, whole, looked = _look(volume, part, config)
    kept = [one.kept for one in looked if one.kept is not None]
    dropped = [one.dropped for one in looked if one.dropped is not None]
    reduced = [one.reduced for one in looked if one.reduced is not None]
    lung_ml = _lung_ml(volume, sum(one.lung_px for one in looked) / len(indices) * len(part))
    return Examination(
        kept=tuple(kept),
        reduced=tuple(reduced),
        whole=whole,
        dropped=tuple(dropped),
        flags=(*_long_scan(volume, part), *_flags(volume, kept, dropped, lung_ml)),
        facts=_facts(volume, config, kept, dropped, lung_ml),
    )


def _look(
    volume: Volume, part: range, config: PreprocessConfig
) -> tuple[list[int], dict[int, NDArray[Any]], list["_Looked"]]:
    """The equal slices of a part of the scan, three of them whole, and what became of each."""
    indices = [part[position] for position in equal_slices(len(part), config.slices)]
    stay = {indices[0], indices[len(indices) // 2], indices[-1]}
    whole, found = {}, []
    with ThreadPoolExecutor(THREADS) as pool:
        # Decoded here one after the other, while the lungs of those before are being found.
        for index, pixels in zip(indices, volume.slices(indices), strict=True):
            found.append(pool.submit(_examine_slice, index, pixels, volume, config))
            if index in stay:
                whole[index] = pixels
    return indices, whole, [each.result() for each in found]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What became of one slice: it was kept or dropped."""

    lung_px: int
    kept: LungSlice | None = None
    reduced: Reduced | None = None
    dropped: DroppedSlice | None = None


def _examine_slice(
    index: int, pixels: NDArray[Any], volume: Volume, config: PreprocessConfig
) -> _Looked:
    grid = SquareGrid.of(pixels, volume)
    seen = grid.to_square(pixels)
    grey = in_lung_window(seen, volume.unit, config)
    lung = _lung(seen, grey, volume)
    source_lung = grid.mask_to_source(lung)
    lung_px = int(source_lung.sum())
    verdict = _verdict(index, grey, lung, volume.lung_masked, config.min_lung_fraction)
    if verdict is not None:
        return _Looked(lung_px, dropped=verdict)
    picture, frame = make_picture(grey, lung, config)
    kept = LungSlice(
        slice_index=index,
        picture=picture,
        grey=grey if seen is pixels else in_lung_window(pixels, volume.unit, config),
        lung_mask=source_lung,
        frame=grid.frame_to_source(frame),
        lung_fraction=float(source_lung.mean()),
    )
    return _Looked(lung_px, kept, _reduced(seen, source_lung[grid.window]))


def _reduced(seen: NDArray[Any], lung: NDArray[np.bool_]) -> Reduced:
    pixels = at_working_size(seen.astype(np.float32))
    size = pixels.shape[::-1]
    small = cv2.resize(lung.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return Reduced(pixels, np.asarray(small, np.uint8))


def _lung(pixels: NDArray[Any], grey: NDArray[np.uint8], volume: Volume) -> NDArray[np.bool_]:
    """The lungs of one slice in square pixels."""
    if volume.lung_masked and volume.unit is Unit.GREY:
        return find_cut_lungs(grey)
    return find_lungs(pixels, volume.unit)


def _verdict(
    index: int,
    grey: NDArray[np.uint8],
    lung: NDArray[np.bool_],
    lung_masked: bool,
    min_lung_fraction: float,
) -> DroppedSlice | None:
    """Why a slice cannot be used; None when it can."""
    lung_px = int(lung.sum())
    if lung_px == 0:
        return DroppedSlice(index, NO_LUNG, NO_LUNG)
    fraction = lung_px / (FULL_SLICE_PX if lung_masked else lung.size)
    if fraction < min_lung_fraction:
        found, needed = f"{fraction:.1%}", f"{min_lung_fraction:.1%}"
        return DroppedSlice(index, INCOMPLETE, f"{INCOMPLETE}: {found} of the slice, not {needed}")
    if np.median(grey[lung]) == 0:
        return DroppedSlice(index, BLACK_LUNG, f"{BLACK_LUNG}: this is not a lung window")
    return None


def _lung_ml(volume: Volume, lung_px: float) -> float | None:
    """Lung volume, from all pixels of lung."""
    if not volume.has_geometry:
        return None
    return lung_px * float(np.prod(volume.spacing_mm)) / 1000


def _long_scan(volume: Volume, part: range) -> tuple[QualityFlag, ...]:
    if len(part) == len(volume):
        return ()
    message = (
        f"The scan is {len(volume) * volume.spacing_mm[0]:.0f} mm long and holds more than the "
        f"chest: the slices examined lie between {part[0]} and {part[-1]}, where the lungs are."
    )
    return (QualityFlag("long_scan", message),)


def _flags(
    volume: Volume,
    kept: Sequence[LungSlice],
    dropped: Sequence[DroppedSlice],
    lung_ml: float | None,
) -> list[QualityFlag]:
    """What a reader of the result has to know about the preprocessing."""
    flags = []
    examined = len(kept) + len(dropped)
    if volume.unit is Unit.GREY:
        message = "The input holds grey levels of pictures, not Hounsfield units; window unknown."
        flags.append(QualityFlag("grey_levels", message))
    if not kept:
        message = f"No usable lungs in {counted(examined, 'slice')} examined ({_kinds(dropped)})."
        flags.append(QualityFlag("no_lungs", message, blocks=True))
        return flags
    if dropped:
        of_all = f"of {counted(examined, 'slice')}"
        words = counted(len(dropped), f"{of_all} was", f"{of_all} were")
        message = f"{words} dropped ({_kinds(dropped)})."
        flags.append(QualityFlag("slices_dropped", message))
    lonely = [lung_slice.slice_index for lung_slice in kept if lung_slice.shows_one_lung]
    if lonely:
        where = f"{len(lonely)} of {counted(len(kept), 'slice')} kept"
        message = f"Only one lung was found in {where}: {lonely}."
        flags.append(QualityFlag("one_lung", message))
    if lung_ml is not None and not PLAUSIBLE_LUNG_ML[0] <= lung_ml <= PLAUSIBLE_LUNG_ML[1]:
        message = f"The lungs found hold {lung_ml / 1000:.1f} litres, which is not plausible."
        flags.append(QualityFlag("implausible_lung_volume", message, leaves_open=True))
    return flags


def _facts(
    volume: Volume,
    config: PreprocessConfig,
    kept: Sequence[LungSlice],
    dropped: Sequence[DroppedSlice],
    lung_ml: float | None,
) -> dict[str, object]:
    """Figures for the record, ready for JSON."""
    hounsfield = volume.unit is Unit.HU
    return {
        "slices_total": len(volume),
        "slices_examined": len(kept) + len(dropped),
        "slices_kept": len(kept),
        "slices_dropped": {str(drop.slice_index): drop.reason for drop in dropped},
        "lung_volume_ml": None if lung_ml is None else round(lung_ml),
        "unit": volume.unit.value,
        "window_center_hu": config.window_center_hu if hounsfield else None,
        "window_width_hu": config.window_width_hu if hounsfield else None,
        "intensity": config.intensity.value,
        "fill": config.fill.value,
    }


def _kinds(dropped: Sequence[DroppedSlice]) -> str:
    """The kinds of drops with their counts, such as `3 no lung found, 1 incomplete lung`."""
    kinds = Counter(drop.kind for drop in dropped)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
