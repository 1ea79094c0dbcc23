"""Painted patients: healthy slices of real people with lesions painted in, as a data set."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from deeppneumonia import readers
from deeppneumonia.datasets import (
    Manifest,
    ManifestRow,
    join_manifests,
    read_manifests,
    write_manifest,
)
from deeppneumonia.datasets.parallel import over_processes
from deeppneumonia.domain import Diagnosis, LungSlice
from deeppneumonia.errors import ManifestError, PreprocessingError, StudyError
from deeppneumonia.phantoms import paint_lesions, write_picture
from deeppneumonia.preprocessing import PreprocessConfig, examine
from deeppneumonia.workflows.phantoms import refuse_to_replace_people
from deeppneumonia.workflows.prepare import MADE_SITES, PAINTED_SITE

Thing = TypeVar("Thing")

MOST_SLICES = 12
"""Of one person: people differ more than their slices do."""

TURNS = (*(Diagnosis.COVID,) * 5, Diagnosis.BACTERIAL, Diagnosis.HEALTHY)
"""What the copies of a slice get, one after the other. Ground glass is what has to be learned."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One healthy row, and what to make of it."""

    study: Path
    row: ManifestRow
    most: int
    copies: int
    seed: int
    out: Path


def paint_manifests(
    manifests: Sequence[Path],
    out: Path,
    *,
    copies: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Path:
    """Write painted slices with their lesion masks; returns the path of their `manifest.csv`.

    Only people whom a training may see are painted: where rows have a `split`, those of `train`.
    Every painted row says `train`. A person's copies with one label stand for one patient.

    Args:
        manifests: of real studies, some of them healthy.
        out: made where missing; gets `slices`, `lesions` and the manifest.
        copies: of each slice, covid, bacterial and healthy taking turns.
        seed: another one gives other lesions.
        progress: called with (studies done, studies in all).
        workers: processes; all cores when None.

    Raises:
        ManifestError: if one cannot be read, or no healthy slice in them can be painted.
        ConfigError: if the manifest of patients that we did not make lies in `out`.
    """
    refuse_to_replace_people(out)
    real = join_manifests(read_manifests(manifests))
    tasks = list(_tasks(real, out, copies, seed))
    for part in ("slices", "lesions"):
        (out / part).mkdir(parents=True, exist_ok=True)
    rows: list[ManifestRow] = []
    for done, made in enumerate(over_processes(_painted, tasks, workers or os.cpu_count() or 1)):
        rows += made
        if progress:
            progress(done + 1, len(tasks))
    if not rows:
        raise ManifestError(
            "There is no healthy slice with whole lungs that a training may see, and lesions are "
            "painted into those: name a manifest of people, not of phantoms, with rows whose label "
            "is healthy and whose split is train or blank."
        )
    painted = replace(real, folder=out).with_rows(rows)
    write_manifest(painted, out / "manifest.csv")
    return out / "manifest.csv"


def _tasks(real: Manifest, out: Path, copies: int, seed: int) -> Iterator[_Task]:
    healthy = real.with_rows(
        row
        for row in real.rows
        if row.label == Diagnosis.HEALTHY
        and row.split in ("", "train")
        and row.site not in MADE_SITES
    )
    for rows in healthy.patients.values():
        chosen = _spread(rows, MOST_SLICES)
        for row in chosen:
            yield _Task(real.file(row), row, MOST_SLICES // len(chosen), copies, seed, out)


def _spread(things: Sequence[Thing], most: int) -> list[Thing]:
    """Up to so many, evenly taken."""
    step = max(len(things) / most, 1)
    return [things[int(number * step)] for number in range(min(most, len(things)))]


def _painted(task: _Task) -> list[ManifestRow]:
    """All copies of one study's slices; none where it has no usable slice."""
    try:
        with readers.sharing_a_child():
            volume = replace(readers.read_volume(task.study), lung_masked=task.row.lung_masked)
            kept = examine(volume, PreprocessConfig()).kept
    except (StudyError, PreprocessingError):
        return []
    made = (
        _copy(task, lung_slice, number)
        for lung_slice in _spread(kept, task.most)
        for number in range(task.copies)
    )
    return [row for row in made if row is not None]


def _copy(task: _Task, lung_slice: LungSlice, number: int) -> ManifestRow | None:
    """One painted slice, written; None where a disease left nothing to see."""
    label = TURNS[number % len(TURNS)]
    rng = np.random.default_rng([task.seed, task.row.line, lung_slice.slice_index, number])
    painted, lesion = paint_lesions(lung_slice.grey, lung_slice.lung_mask, label, rng)
    if label is not Diagnosis.HEALTHY and not lesion.any():
        return None
    name = f"{task.row.line:06d}_{lung_slice.slice_index:04d}_{number:03d}.png"
    write_picture(painted, task.out / "slices" / name)
    if lesion.any():
        write_picture(np.where(lesion, 255, 0).astype(np.uint8), task.out / "lesions" / name)
    return ManifestRow(
        line=0,  # numbered when written
        path=f"slices/{name}",
        patient_id=f"{PAINTED_SITE}-{task.row.patient_id}-{label}",
        label=label,
        site=PAINTED_SITE,
        split="train",
        lung_masked=task.row.lung_masked,
        lesion_mask=f"lesions/{name}" if lesion.any() else "",
    )
