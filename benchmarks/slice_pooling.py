r"""From slices to a patient: the mean beside other averages, from the stored answers of the tables.

    python benchmarks/slice_pooling.py

Patient AUC, mean of the folds, of every network in benchmarks/results/covid-v-bacterial (133
patients, 8.4 answered slices each), and what each average gains over the mean of the
probabilities. Nothing is trained and no picture is looked at.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.comparison import auc_interval, delong_test
from deeppneumonia.reports.comparison import difference_cells, score_cell
from deeppneumonia.workflows.comparison_store import TESTED, SetAnswers, read_comparison

RESULTS = Path(__file__).parent / "results" / "covid-v-bacterial"
KEY_SLICES = 3
Floats = NDArray[np.float64]


def mean(slices: Floats) -> Floats:
    """The published way: the mean of the slices' probabilities (n, C), as (C,)."""
    return slices.mean(axis=0)


def key_slices(slices: Floats) -> Floats:
    """The mean of the three slices that are surest of a class, whichever it is."""
    return slices[np.argsort(-slices.max(axis=1), kind="stable")[:KEY_SLICES]].mean(axis=0)


def log_odds(slices: Floats) -> Floats:
    """The mean of the log probabilities, made to sum to 1."""
    logs = np.log(slices.clip(1e-6)).mean(axis=0)
    return np.exp(logs) / np.exp(logs).sum()


def by_sureness(slices: Floats) -> Floats:
    """Each slice counts by how far it is from undecided: attention without anything learned."""
    weights = slices.max(axis=1) - 1 / slices.shape[1] + 1e-6
    return weights @ slices / weights.sum()


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "mean": mean,
    "three surest slices": key_slices,
    "mean log odds": log_odds,
    "weighed by sureness": by_sureness,
}


def patients(answers: SetAnswers, way: Callable[[Floats], Floats]) -> Floats:
    """Probabilities (1, P, C) in the order of the names; who has no answer is undecided."""
    names = np.array(answers.patients)
    undecided = np.full(answers.slices.shape[2], 1 / answers.slices.shape[2])
    found = []
    for name in np.unique(names):
        slices = answers.slices[0, names == name]
        slices = slices[~np.isnan(slices).any(axis=1)]
        found.append(way(slices) if len(slices) else undecided)
    return np.array(found)[None]


def main() -> None:
    comparison = read_comparison(RESULTS)
    print("| | " + " | ".join(WAYS) + " |")
    print("|---" * (1 + len(WAYS)) + "|")
    for network, sets in comparison.answers.items():
        answers = sets[TESTED]
        first = np.unique(answers.patients, return_index=True)[1]
        labels, folds = answers.labels[first], answers.folds[:, first]
        base = patients(answers, mean)
        cells = [network, score_cell(auc_interval(labels, base, folds=folds))]
        for way in list(WAYS.values())[1:]:
            test = delong_test(labels, patients(answers, way), base, folds=folds)
            cells.append(difference_cells(asdict(test))[0])
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
