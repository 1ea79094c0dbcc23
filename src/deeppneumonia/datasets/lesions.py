"""Where lesions were drawn, laid over the pictures that a network sees."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia import readers
from deeppneumonia.datasets.cache import SliceCache
from deeppneumonia.datasets.manifest import Manifest, ManifestRow
from deeppneumonia.datasets.parallel import over_processes
from deeppneumonia.domain import Diagnosis, LungSlice
from deeppneumonia.errors import ManifestError, PreprocessingError, StudyError
from deeppneumonia.preprocessing import PreprocessConfig, examine
from deeppneumonia.preprocessing.picture import marks_on_picture

NONE, LESION, UNKNOWN = 0, 1, 2
"""What a pixel of a picture is known to hold. The background that a picture was filled with shows
copies of the lung, lesions included, that nobody can tell from the lung but by their place."""

LesionMaps = Mapping[tuple[int, int | None], NDArray[np.uint8]]
"""By line and slice index: (side, side) of NONE, LESION and UNKNOWN."""

_Task = tuple[Path, Path, bool, PreprocessConfig]


def lesion_maps(
    manifest: Manifest,
    cache: SliceCache,
    config: PreprocessConfig,
    sites: Collection[str],
    *,
    workers: int | None = None,
) -> LesionMaps:
    """What is known of lesions in the training slices: masks that rows name, and healthy lungs.

    A mask is a picture, or a folder of pictures in the order of the study's slices from the feet;
    everything above 0 is lesion. Slices of the sick without a mask are left out: unknown.

    Args:
        manifest: of the cache.
        cache: the pictures.
        config: how they were made.
        sites: whose masks are taken; those of others are kept for a test.
        workers: processes; all cores when None.

    Raises:
        ManifestError: a mask cannot be read, or is not as large as its slices.
    """
    side = cache.pictures.shape[1]
    nothing = np.full((side, side), NONE, np.uint8)
    found = {
        (entry.line, entry.slice_index): nothing
        for entry in cache.entries_of("train")
        if entry.label == Diagnosis.HEALTHY
    }
    rows = [row for row in manifest.rows_of("train") if row.lesion_mask and row.site in sites]
    tasks = [_task_of(manifest, row, config) for row in rows]
    made = over_processes(_drawn, tasks, workers or os.cpu_count() or 1)
    for row, drawn in zip(rows, made, strict=True):
        if isinstance(drawn, str):
            raise ManifestError(
                f"The lesion mask of line {row.line} cannot be laid over its study: {drawn}"
            )
        found |= {(row.line, index): one for index, one in drawn.items()}
    return found


def _task_of(manifest: Manifest, row: ManifestRow, config: PreprocessConfig) -> _Task:
    return manifest.file(row), manifest.folder / row.lesion_mask, row.lung_masked, config


def _drawn(task: _Task) -> dict[int, NDArray[np.uint8]] | str:
    """The maps of one study's kept slices; a string says why there are none."""
    study, mask, lung_masked, config = task
    try:
        with readers.sharing_a_child():
            volume = replace(readers.read_volume(study), lung_masked=lung_masked)
            masks = readers.read_volume(mask)
            if masks.shape != volume.shape:
                return f"it is {masks.shape}, its study {volume.shape} (slices, rows, columns)."
            kept = examine(volume, config).kept
            return {one.slice_index: _laid(masks.slice(one.slice_index), one) for one in kept}
    except (StudyError, PreprocessingError) as error:
        return str(error)


def _laid(mask: NDArray[np.integer[Any]], lung_slice: LungSlice) -> NDArray[np.uint8]:
    """A slice's mask as its picture shows it, unknown beside the lung."""
    side = lung_slice.picture.shape[0]
    lesion, lung = (
        marks_on_picture(plane, lung_slice.frame, side)
        for plane in (mask > 0, lung_slice.lung_mask)
    )
    return np.where(lung, np.where(lesion, LESION, NONE), UNKNOWN).astype(np.uint8)
