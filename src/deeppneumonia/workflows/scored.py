"""Every slice of a manifest with a checkpoint's answer and what it saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import Manifest, SliceCache, SliceEntry
from deeppneumonia.errors import ManifestError
from deeppneumonia.inference import TorchEngine, check_numbers


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


def labelled(manifest: Manifest, checkpoint: Checkpoint) -> Manifest:
    """The manifest, if the checkpoint knows all of its labels; ManifestError names the others."""
    labels = {row.label for row in manifest.rows}
    known = checkpoint.metadata.classes.labels
    if unknown := sorted(labels - set(known)):
        raise ManifestError(
            f"The manifest has labels {', '.join(unknown)}, the checkpoint knows "
            f"{', '.join(known)}: rename them with --map {unknown[0]}={known[-1]} or the like, "
            f"or take those rows out."
        )
    return manifest


def score_cache(cache: SliceCache, checkpoint: Checkpoint, *, device: str = "auto") -> Scored:
    """Ask a checkpoint about every kept slice of a cache; the others get NaN.

    Raises:
        CheckpointError: if the network answers with no numbers.
    """
    classes = checkpoint.metadata.classes
    kept, rows = kept_rows(cache)
    output = TorchEngine(checkpoint, device=device).run(cache.pictures[rows])
    check_numbers(output)
    probabilities = np.full((len(cache.index), len(classes)), np.nan)
    probabilities[kept] = output.probabilities
    features = np.full((len(cache.index), output.features.shape[1]), np.nan, np.float32)
    features[kept] = output.features
    labels = np.array([classes.index(entry.label) for entry in cache.index], np.int64)
    return Scored(cache.index, labels, probabilities, features)


def cells(probabilities: NDArray[np.floating]) -> list[str]:
    """Six digits each, or blank where there is no answer."""
    return ["" if np.isnan(value) else f"{value:.6f}" for value in probabilities]


def kept_rows(cache: SliceCache) -> tuple[list[int], list[int]]:
    """Positions in the index that have a picture, and where those pictures are."""
    found = [
        (number, entry.array_row)
        for number, entry in enumerate(cache.index)
        if entry.array_row is not None
    ]
    return [number for number, _ in found], [row for _, row in found]
