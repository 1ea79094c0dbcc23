"""Learns how lungs stand (`preprocessing/stance.py`) from the training patients of a split.

    python benchmarks/fit_stance.py --split runs/x/split.csv --data DATA \
        --out src/deeppneumonia/preprocessing/stance.npz

Validation patients choose how strongly the patterns are smoothed; no strange input is looked at.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from deeppneumonia.datasets import read_manifest
from deeppneumonia.preprocessing import PreprocessConfig, examine
from deeppneumonia.preprocessing.stance import CELLS, outline
from deeppneumonia.readers import read_volume

SITES = ("song2021", "mosmed", "phantom")
SLICES = PreprocessConfig(slices=5)
STRENGTHS = (0.03, 0.1, 0.3, 1.0)
"""Inverse regularisation, the smoothest first."""

Outlines = NDArray[np.float64]
TURNS: dict[str, Callable[[Outlines], Outlines]] = {
    "sides": lambda seen: seen[:, :, ::-1],
    "upright": lambda seen: seen[:, ::-1],
}


def outlines_of(split: Path, data: Path, word: str) -> tuple[Outlines, NDArray[np.float64]]:
    """(n, *CELLS) of one split, and a weight for each, so that every patient counts the same."""
    found: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for row in read_manifest(split, folder=data).rows:
        if row.split == word and row.site in SITES:
            volume = read_volume(data / row.path)
            volume = replace(volume, lung_masked=row.lung_masked)
            found[row.patient_id] += [outline(k.lung_mask) for k in examine(volume, SLICES).kept]
    weights = np.concatenate([np.full(len(seen), 1 / len(seen)) for seen in found.values() if seen])
    return np.concatenate([np.stack(seen) for seen in found.values() if seen]), weights


def learn(
    seen: Outlines, weights: NDArray[np.float64], turn: Callable[[Outlines], Outlines], c: float
) -> NDArray[np.float64]:
    odd = ((seen - turn(seen)) / 2).reshape(len(seen), -1)
    both, truth = np.concatenate([odd, -odd]), np.repeat([1, 0], len(odd))
    model = LogisticRegression(C=c, fit_intercept=False, max_iter=1000)
    model.fit(both, truth, sample_weight=np.tile(weights, 2))
    pattern = model.coef_[0].reshape(1, *CELLS)
    return ((pattern - turn(pattern)) / 2)[0]


def right(pattern: NDArray[np.float64], seen: Outlines, weights: NDArray[np.float64]) -> float:
    """Share of outlines, patients alike, on the right side of 0."""
    return float(weights @ ((seen * pattern).sum(axis=(1, 2)) > 0) / weights.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    train, weights = outlines_of(options.split, options.data, "train")
    held_out, their_weights = outlines_of(options.split, options.data, "validation")
    patterns = {}
    for name, turn in TURNS.items():
        tried = [learn(train, weights, turn, c) for c in STRENGTHS]
        shares = [right(pattern, held_out, their_weights) for pattern in tried]
        patterns[name] = tried[int(np.argmax(shares))].astype(np.float32)
        print(name, dict(zip(STRENGTHS, np.round(shares, 4).tolist(), strict=True)), flush=True)
    np.savez(options.out, **patterns)
    print(f"{len(train)} training outlines, {len(held_out)} validation outlines: {options.out}")


if __name__ == "__main__":
    main()
