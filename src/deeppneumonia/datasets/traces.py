"""What scanner and export left in a picture: all that might give its label away without a lung.

One `Trace` is one picture or one slice of a study, looked at in the ways listed in LOOKS. Numbers
and words only: what they tell about the label is for `deeppneumonia.evaluation.guessing` to find.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia import preprocessing, readers
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.datasets.leaks import Thumbnail, thumbnail_of
from deeppneumonia.datasets.manifest import Manifest
from deeppneumonia.datasets.parallel import over_processes
from deeppneumonia.datasets.scanner_tags import Words, format_of, tags_of
from deeppneumonia.domain import LungSlice, Unit, Volume
from deeppneumonia.domain.study import SourceKind
from deeppneumonia.errors import PreprocessingError, StudyError
from deeppneumonia.preprocessing import Fill, PreprocessConfig
from deeppneumonia.preprocessing.morphology import convex_hull

ROWS_PER_PROCESS = 64
"""Fewer rows are read sooner than another process has started."""

SLICES_PER_STUDY = 5
"""Slices of a study that are looked at; the same study exported twice has them in common."""

PREVIEW_PX = 112
SILHOUETTE_PX = 16
FIRST_GREY = 11
"""Levels below are black: lossy compression leaves up to about 10 in a black background."""

LUNG_MARGIN = 0.04
"""The background begins this far from the hull of the lungs, as a share of the picture's side."""

LEAST_BACKGROUND_PX = 200

CUT_TO_LUNG = PreprocessConfig(slices=SLICES_PER_STUDY, fill=Fill.BLACK, picture_px=224)


class Look(StrEnum):
    """A way to look at a picture without looking at the lung's tissue."""

    SIZE = "picture_size"
    FORMAT = "file_format"
    TAGS = "scanner_tags"
    SCALE = "grey_scale"
    BACKGROUND = "background"
    SILHOUETTE = "lung_silhouette"


@dataclass(frozen=True, slots=True)
class Trace:
    """What one picture, or one slice of a study, shows of its making."""

    line: int
    """Line of the manifest."""

    values: Mapping[Look, Words]
    """Named values as words; a look that was not possible is missing."""

    lung_picture: NDArray[np.uint8] | None
    """(224, 224): the lung cut out on black, for the six statistics; None when none was found."""

    preview: NDArray[np.uint8]
    """(height, width) grey, the longer side PREVIEW_PX."""

    thumbnail: Thumbnail | None
    """For `find_leaks`, so that nothing is read twice; None for a picture that shows nothing."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that shows nothing."""

    line: int
    reason: str


def find_traces(
    manifest: Manifest, progress: Progress | None = None
) -> tuple[tuple[Trace, ...], tuple[Unreadable, ...]]:
    """Look at every picture and at SLICES_PER_STUDY slices of every study.

    Args:
        manifest: rows of single slices or studies.
        progress: called after each row.
    """
    tasks = [(row.line, manifest.file(row), row.lung_masked) for row in manifest.rows]
    traces: list[Trace] = []
    unreadable: list[Unreadable] = []
    most = 1 + len(tasks) // ROWS_PER_PROCESS
    found = over_processes(_traces_of, tasks, min(most, os.cpu_count() or 1))
    for done, (of_row, refusal) in enumerate(found, start=1):
        traces += of_row
        if refusal is not None:
            unreadable.append(refusal)
        if progress:
            progress(done, len(tasks))
    return tuple(traces), tuple(unreadable)


def _traces_of(task: tuple[int, Path, bool]) -> tuple[list[Trace], Unreadable | None]:
    line, path, lung_masked = task
    try:
        volume = replace(readers.read_volume(path), lung_masked=lung_masked)
        return list(_traces(line, volume)), None
    except (StudyError, PreprocessingError) as refusal:
        return [], Unreadable(line, str(refusal))


def _traces(line: int, volume: Volume) -> Iterator[Trace]:
    of_file = _of_file(volume)
    found = preprocessing.examine(volume, CUT_TO_LUNG)
    kept = {each.slice_index: each for each in found.kept}
    for index in sorted([*kept, *(each.slice_index for each in found.dropped)]):
        pixels = volume.slice(index)
        values: dict[Look, Words] = {**of_file, Look.SCALE: _grey_scale(pixels, volume.unit)}
        lung = kept.get(index)
        if lung is not None:
            values |= _around(lung)
        picture = None if lung is None else lung.picture
        grey = preprocessing.in_lung_window(pixels, volume.unit, CUT_TO_LUNG)
        yield Trace(line, values, picture, _preview(grey), thumbnail_of(grey))


def _of_file(volume: Volume) -> dict[Look, Words]:
    """What every slice of a study shares."""
    rows, columns = volume.shape[1:]
    size = {"rows": str(rows), "columns": str(columns), "rows per column": f"{rows / columns:.4f}"}
    found: dict[Look, Words] = {Look.SIZE: size}
    if volume.has_geometry:
        thick, down, along = (f"{length:.4f}" for length in volume.spacing_mm)
        found[Look.SIZE] = size | {"slice distance": thick, "row mm": down, "column mm": along}
    if volume.study is None or volume.series is None:
        return found
    first = volume.series.files[0]
    found[Look.FORMAT] = format_of(first, volume.study.kind)
    if volume.study.kind is SourceKind.DICOM:
        found[Look.TAGS] = tags_of(first)
    return found


def _grey_scale(pixels: NDArray[np.generic], unit: Unit) -> Words:
    """Where the scale begins and ends, and whether levels are missing: the window of the export.

    The darkest lung is air in everybody and the brightest bone or a vessel, so the ends say how
    HU became grey, not what the patient has; only a lung that is ill all over would move them.
    """
    values = np.asarray(pixels, np.float64).ravel()
    shown = values[values >= FIRST_GREY] if unit is Unit.GREY else values
    if not shown.size:
        return {"unit": unit.value}
    dark, bright = np.percentile(shown, (0.1, 99.9))
    levels = np.unique(shown)
    span = levels[-1] - levels[0] + 1
    return {
        "unit": unit.value,
        "darkest level": f"{dark:.1f}",
        "brightest level": f"{bright:.1f}",
        "least value": f"{values.min():g}",
        "greatest value": f"{values.max():g}",
        "at least value": f"{np.mean(values == values.min()):.3f}",
        "at greatest value": f"{np.mean(values == values.max()):.5f}",
        "levels used": f"{len(levels) / span:.3f}",
    }


def _around(lung: LungSlice) -> dict[Look, Words]:
    """The lung's outline, and what lies well outside of it."""
    found: dict[Look, Words] = {Look.SILHOUETTE: _silhouette(lung.lung_mask)}
    background = _background(lung.grey, lung.lung_mask)
    return found if background is None else found | {Look.BACKGROUND: background}


def _background(grey: NDArray[np.uint8], lung: NDArray[np.bool_]) -> Words | None:
    """Grey levels, noise and sharpness outside the hull of both lungs; None when too little is.

    The hull takes heart and pleura with it, so that fluid beside a lung is not seen.
    """
    margin = 1 + 2 * round(LUNG_MARGIN * max(grey.shape))
    hull = convex_hull(lung.astype(np.uint8))
    away = cv2.dilate(hull, np.ones((margin, margin), np.uint8)) == 0
    if away.sum() < LEAST_BACKGROUND_PX:
        return None
    levels = grey[away].astype(np.float64)
    tissue = levels[levels >= FIRST_GREY]
    named = {
        "black share": np.mean(levels < FIRST_GREY),
        "zero share": np.mean(levels == 0),
        "white share": np.mean(levels == 255),
        "tissue mean": tissue.mean() if tissue.size else 0,
        "tissue deviation": tissue.std() if tissue.size else 0,
        "black mean": levels[levels < FIRST_GREY].mean() if (levels < FIRST_GREY).any() else 0,
    }
    return {name: f"{value:.4f}" for name, value in (named | _texture(grey, away)).items()}


def _texture(grey: NDArray[np.uint8], where: NDArray[np.bool_]) -> dict[str, float]:
    """Noise in three bands of fineness and its ratios: what a reconstruction kernel leaves."""
    picture = grey.astype(np.float32)
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2)]
    smoother = [picture, *blurred]
    fine, middle, coarse = (
        float(np.median(np.abs(smoother[i] - smoother[i + 1])[where])) for i in range(3)
    )
    return {
        "fine noise": fine,
        "middle noise": middle,
        "fine to middle noise": fine / (middle + 0.05),  # 0.05: a smooth background has neither
        "middle to coarse noise": middle / (coarse + 0.05),
    }


def _silhouette(lung: NDArray[np.bool_]) -> Words:
    """The outline in 16 x 16 cells of its bounding rectangle, with its proportions."""
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    cut = lung[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cells = cv2.resize(
        cut.astype(np.float32), (SILHOUETTE_PX, SILHOUETTE_PX), interpolation=cv2.INTER_AREA
    )
    shape = {
        "height to width": cut.shape[0] / cut.shape[1],
        "share of its rectangle": cut.mean(),
        "share on the left": cut[:, : cut.shape[1] // 2].sum() / cut.sum(),
    }
    named = shape | {f"cell {number}": value for number, value in enumerate(cells.ravel())}
    return {name: f"{value:.3f}" for name, value in named.items()}


def _preview(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small grey picture for a person to recognise it by."""
    scale = PREVIEW_PX / max(grey.shape)
    size = [max(1, round(side * scale)) for side in reversed(grey.shape)]
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def previews_by_line(traces: Sequence[Trace]) -> dict[int, NDArray[np.uint8]]:
    """The middle picture of each line."""
    by_line: dict[int, list[NDArray[np.uint8]]] = {}
    for trace in traces:
        by_line.setdefault(trace.line, []).append(trace.preview)
    return {line: previews[len(previews) // 2] for line, previews in by_line.items()}


def thumbnails_by_line(traces: Sequence[Trace]) -> dict[int, list[Thumbnail]]:
    """What `find_leaks` compares, of each line."""
    by_line: dict[int, list[Thumbnail]] = {}
    for trace in traces:
        if trace.thumbnail is not None:
            by_line.setdefault(trace.line, []).append(trace.thumbnail)
    return by_line
