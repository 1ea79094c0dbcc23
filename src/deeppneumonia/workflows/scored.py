"""Every slice of a manifest with a checkpoint's answer and what it saw."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import Manifest, SliceCache, SliceEntry
from deeppneumonia.errors import ManifestError
from deeppneumonia.evaluation import picture_statistics
from deeppneumonia.evaluation.shortcuts import STATISTICS
from deeppneumonia.inference import TorchEngine, check_numbers
from deeppneumonia.preprocessing import Fill, Intensity, PreprocessConfig


@dataclass(frozen=True, slots=True)
class Scored:
    """Every slice of a manifest with its answer."""

    entries: tuple[SliceEntry, ...]
    """The refused ones included."""

    labels: NDArray[np.int64]
    """(n,) class indices."""

    probabilities: NDArray[np.float64]
    """(n, C); NaN where there is no answer."""

    features: NDArray[np.float32]
    """(n, D): the network's pooled features; NaN where there is no answer."""

    @property
    def groups(self) -> list[str]:
        """n patient ids."""
        return [entry.patient_id for entry in self.entries]


def rows_of_split(manifest: Manifest, split: str | None, option: str) -> Manifest:
    """The rows of one split, or all when None; ManifestError, naming the option, for none."""
    if split is None:
        return manifest
    chosen = manifest.with_rows(manifest.rows_of(split))
    if not chosen.rows:
        raise ManifestError(
            f"No row has split {split!r}: make one with `deeppneumonia split`, or leave {option} "
            f"out."
        )
    return chosen


def labelled(manifest: Manifest, checkpoint: Checkpoint) -> Manifest:
    """The manifest, if the checkpoint knows all of its labels; ManifestError names the others."""
    labels = {row.label for row in manifest.rows}
    known = checkpoint.metadata.classes.labels
    if unknown := sorted(labels - set(known)):
        # No class is proposed for another word: to take a disease for "healthy" is easily copied.
        meant = [label for label in known if label.lower() == unknown[0].lower()] or ["LABEL"]
        raise ManifestError(
            f"The manifest has labels {', '.join(unknown)}, the checkpoint knows "
            f"{', '.join(known)}: rename them with --map {unknown[0]}={meant[0]} and the like, or "
            f"take those rows out."
        )
    return manifest


def score_cache(cache: SliceCache, checkpoint: Checkpoint, *, device: str = "auto") -> Scored:
    """Ask a checkpoint about every kept slice of a cache; the others get NaN.

    Raises:
        CheckpointError: if the network answers with no numbers.
    """
    classes = checkpoint.metadata.classes
    kept = [number for number, entry in enumerate(cache.index) if entry.array_row is not None]
    output = TorchEngine(checkpoint, device=device).run(cache.pictures_of(cache.kept))
    check_numbers(output)
    probabilities = np.full((len(cache.index), len(classes)), np.nan)
    probabilities[kept] = output.probabilities
    features = np.full((len(cache.index), output.features.shape[1]), np.nan, np.float32)
    features[kept] = output.features
    labels = np.array([classes.index(entry.label) for entry in cache.index], np.int64)
    return Scored(cache.index, labels, probabilities, features)


def as_exported(config: PreprocessConfig) -> PreprocessConfig:
    """For pictures as the hospital made them: cut to the lung on black, in their own grey levels.

    The published pictures are like that, and that is where a hospital's fingerprint is.
    """
    return replace(config, fill=Fill.BLACK, intensity=Intensity.WINDOW)


def slice_statistics(cache: SliceCache) -> NDArray[np.float64]:
    """(n, 6): the six statistics of every slice of a cache; NaN where there is no picture."""
    statistics = np.full((len(cache.index), len(STATISTICS)), np.nan)
    for number, entry in enumerate(cache.index):  # one by one: a cohort's pictures fill the memory
        if entry.array_row is not None:
            statistics[number] = picture_statistics(cache.pictures_of([entry]))[0]
    return statistics


def cells(probabilities: NDArray[np.floating]) -> list[str]:
    """Six digits each, or blank where there is no answer."""
    return ["" if np.isnan(value) else f"{value:.6f}" for value in probabilities]
