"""What is fitted on the validation patients after training: temperature and thresholds."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    OperatingLevel,
    load_checkpoint,
    save_checkpoint,
)
from deeppneumonia.datasets import Manifest, SliceCache, build_cache, read_manifest
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.errors import TrainingError
from deeppneumonia.evaluation import (
    aggregate_by_patient,
    calibrate,
    choose_confidence_threshold,
    fit_temperature,
    operating_points,
)
from deeppneumonia.evaluation.calibration import SENSITIVITIES
from deeppneumonia.inference import TorchEngine
from deeppneumonia.workflows.abstention import Doubts, distances_of, look_at
from deeppneumonia.workflows.prepare import MADE_SITES


def calibrated(
    checkpoint: Checkpoint, manifest: Manifest, cache: SliceCache, device: str
) -> CheckpointMetadata:
    """Temperature and thresholds, fitted on the validation patients alone.

    Phantoms do not count, unless there is nobody else: they are easier than any person. Whoever
    the input checks or the distance leave open counts as unanswered when the confidence threshold
    is chosen, so that all gates together answer as many as they should.

    Args:
        checkpoint: with the statistics of its training patients, if it is to have any.
        manifest: that the cache was made of.
        cache: its slices.
        device: auto, cpu, cuda or cuda:N.
    """
    asked = _Asked.of(checkpoint, cache, device)
    temperature = fit_temperature(asked.labels, asked.probabilities)
    probabilities = calibrate(asked.probabilities, temperature)
    chosen = replace(checkpoint.metadata, temperature=temperature)
    return _with_threshold(
        replace(
            chosen,
            thresholds=replace(
                chosen.thresholds, operating_points=operating_levels(asked.labels, probabilities)
            ),
        ),
        asked,
        manifest,
    )


def refit_confidence(
    checkpoint: Path,
    manifest: Path,
    out: Path,
    *,
    cache: Path,
    data: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> CheckpointMetadata:
    """Write a copy of a checkpoint with the confidence threshold chosen anew; all else stays.

    Args:
        checkpoint: a .safetensors file.
        manifest: CSV whose `split` says who validated, such as the split.csv of the training run.
        out: the new file; may be the old one.
        cache: folder of the cut slices, made or reused.
        data: what the paths in the manifest are relative to; its own folder when None.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows preprocessed, rows in all).

    Raises:
        CheckpointError, ManifestError: if something that was named cannot be used.
        TrainingError: if no validation patient has a usable slice.
    """
    loaded = load_checkpoint(checkpoint)
    read = read_manifest(manifest, folder=data)
    wanted = read.with_rows(read.rows_of("validation"))
    cut = build_cache(wanted, loaded.metadata.preprocessing, cache, progress)
    if not cut.kept:
        raise TrainingError(
            f"The confidence threshold is chosen on validation patients, and {manifest.name} names "
            f"none with a usable slice: name a manifest whose `split` says who validated."
        )
    metadata = _with_threshold(loaded.metadata, _Asked.of(loaded, cut, device), wanted)
    save_checkpoint(out, loaded.network, metadata)
    return metadata


@dataclass(frozen=True, slots=True)
class _Asked:
    """The validation patients and what the network says of them."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """(P, C), not calibrated."""

    patients: tuple[str, ...]
    groups: list[str]
    """The patient of each slice."""

    features: NDArray[np.float32]
    """(n, F) of the slices."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, cache: SliceCache, device: str) -> "_Asked":
        classes = checkpoint.metadata.classes
        everybody = cache.entries_of("validation")
        entries = tuple(entry for entry in everybody if entry.site not in MADE_SITES) or everybody
        answers = TorchEngine(checkpoint, device=device).run(cache.pictures_of(entries))
        labels = np.array([classes.index(entry.label) for entry in entries])
        groups = [entry.patient_id for entry in entries]
        table = aggregate_by_patient(labels, answers.probabilities, groups)
        return cls(table.labels, table.probabilities, table.patients, groups, answers.features)


def _with_threshold(
    metadata: CheckpointMetadata, asked: _Asked, manifest: Manifest
) -> CheckpointMetadata:
    """The confidence threshold by the rule of decision 0072."""
    chosen = choose_confidence_threshold(
        asked.labels,
        calibrate(asked.probabilities, metadata.temperature),
        left_open=_left_open(metadata, asked, manifest),
    )
    found = {
        "patients": len(asked.patients),
        "answered": chosen.answered,
        "accuracy_of_answered": chosen.accuracy,
    }
    return replace(
        metadata,
        thresholds=replace(metadata.thresholds, confidence=chosen.threshold),
        metrics={**metadata.metrics, "validation": found},
    )


def _left_open(
    metadata: CheckpointMetadata, asked: _Asked, manifest: Manifest
) -> NDArray[np.bool_]:
    """(P,): who gets no answer by input checks or distance."""
    doubts = {patient: Doubts() for patient in asked.patients}
    for row in manifest.rows_of("validation"):
        if row.patient_id in doubts:
            doubts[row.patient_id].add(look_at(row, manifest.file(row), metadata.preprocessing))
    distances, limit = distances_of(metadata, asked.features, asked.groups, asked.patients)
    checked = [doubts[one].unusable or doubts[one].doubtful for one in asked.patients]
    return np.asarray(np.array(checked) | (distances > limit), np.bool_)


def operating_levels(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[OperatingLevel, ...]:
    """Levels of 90 % and 95 % sensitivity for the first class; none where they are not defined.

    Args:
        labels: (P,) class index of each validation patient.
        probabilities: (P, C), calibrated.
    """
    if len(np.unique(labels == 0)) != 2:
        return ()
    points = operating_points(labels, probabilities, sensitivities=SENSITIVITIES)
    return tuple(
        OperatingLevel(target=target, **asdict(point))
        for target, point in zip(SENSITIVITIES, points, strict=True)
    )
