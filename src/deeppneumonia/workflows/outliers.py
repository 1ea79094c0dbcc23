"""Gives a checkpoint the statistics of its training patients' features, so that it can say no."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deeppneumonia.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    load_checkpoint,
    save_checkpoint,
)
from deeppneumonia.datasets import (
    SliceCache,
    SliceEntry,
    build_cache,
    join_manifests,
    read_manifests,
)
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.errors import TrainingError
from deeppneumonia.inference import TorchEngine, fit_statistics
from deeppneumonia.workflows.prepare import MADE_SITES, PAINTED_SITE

SLICES_OF_A_PATIENT = 4
"""So many, spread over the lungs, stand for a patient: more change little and cost minutes."""


def fit_ood(
    checkpoint: Path,
    manifests: Sequence[Path],
    out: Path,
    *,
    cache: Path,
    data: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> CheckpointMetadata:
    """Write a copy of a checkpoint that knows its training patients; nothing else in it changes.

    Args:
        checkpoint: a .safetensors file.
        manifests: CSVs whose `split` says who was trained on and who validated, such as the
            split.csv of the training run.
        out: the new file; may be the old one.
        cache: folder of the cut slices, made or reused.
        data: what the paths in the manifests are relative to; their own folders when None.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows preprocessed, rows in all).

    Returns:
        The metadata of the new file, which now holds `ood`.

    Raises:
        CheckpointError, ManifestError: if something that was named cannot be used.
        TrainingError: if the manifests hold too few training or validation patients.
    """
    loaded = load_checkpoint(checkpoint)
    classes = loaded.metadata.classes.labels
    joined = join_manifests(read_manifests(manifests, folder=data))
    wanted = joined.with_rows(
        row for row in joined.rows if row.label in classes and row.split in ("train", "validation")
    )
    cut = build_cache(wanted, loaded.metadata.preprocessing, cache, progress)
    metadata = with_statistics(loaded, cut, device)
    save_checkpoint(out, loaded.network, metadata)
    return metadata


def with_statistics(checkpoint: Checkpoint, cache: SliceCache, device: str) -> CheckpointMetadata:
    """The checkpoint's metadata with `ood` fitted on the training patients of a cache.

    Painted patients do not count: the healthy people they were made from are there themselves.
    The limit comes from validation patients; phantoms among them do not count, unless there is
    nobody else.

    Raises:
        TrainingError: if there are too few patients.
    """
    train = _some_of_each([one for one in cache.entries_of("train") if one.site != PAINTED_SITE])
    everybody = _some_of_each(cache.entries_of("validation"))
    others = [entry for entry in everybody if entry.site not in MADE_SITES] or everybody
    patients = [entry.patient_id for entry in train]
    if len(set(patients)) < 3 or not others:
        raise TrainingError(
            f"Statistics for knowing strange studies need 3 training patients and 1 validation "
            f"patient with usable slices, found {len(set(patients))} and "
            f"{len({entry.patient_id for entry in others})}: name a manifest with both splits."
        )
    engine = TorchEngine(checkpoint, device=device)
    found = fit_statistics(
        engine.run(cache.pictures_of(train)).features,
        patients,
        engine.run(cache.pictures_of(others)).features,
        [entry.patient_id for entry in others],
    )
    return replace(checkpoint.metadata, ood=found.to_json())


def _some_of_each(entries: Sequence[SliceEntry]) -> list[SliceEntry]:
    """Up to SLICES_OF_A_PATIENT of each patient, evenly spread over their slices."""
    of_patient: dict[str, list[SliceEntry]] = defaultdict(list)
    for entry in entries:
        of_patient[entry.patient_id].append(entry)
    chosen = []
    for found in of_patient.values():
        count = min(SLICES_OF_A_PATIENT, len(found))
        places = (2 * np.arange(count) + 1) * len(found) // (2 * count)
        chosen += [found[place] for place in places]
    return chosen
