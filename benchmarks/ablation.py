r"""Variants of a recipe side by side on the same patients: what each idea gains, with intervals.

    deeppneumonia evaluate -c RUN/checkpoint.safetensors -m split.csv --data DATA \
        --split test --out scores/NAME
    python benchmarks/ablation.py --manifest split.csv scores/BASE scores/OTHER ...

The first folder is what the others are compared with. Within one hospital the probabilities of
its labels are made to sum to 1. Patients whom any variant refused are left out of all.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.bootstrap import Interval, auc_difference, score_with_intervals

CLASSES = ("covid", "bacterial", "healthy")
WITHIN = {"song2021": ("covid", "bacterial"), "mosmed": ("covid", "healthy")}
Answers = dict[str, NDArray[np.float64]]


def answers_of(folder: Path) -> tuple[Answers, dict[str, str]]:
    """Probabilities (C,) and label of every answered patient."""
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row[CLASSES[0]]]
    found = {row["patient_id"]: np.array([float(row[name]) for name in CLASSES]) for row in rows}
    return found, {row["patient_id"]: row["label"] for row in rows}


def told(value: Interval, form: str = ".2f") -> str:
    ends = "" if value["low"] is None else f" ({value['low']:{form}} to {value['high']:{form}})"
    return f"{value['value']:{form}}{ends}"


def gain(value: Interval) -> str:
    return told(value, "+.3f")


def part(
    answers: Answers, labels: dict[str, str], patients: list[str], classes: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities of some patients, over some of the classes."""
    columns = [CLASSES.index(name) for name in classes]
    probabilities = np.stack([answers[patient][columns] for patient in patients])
    numbers = np.array([classes.index(labels[patient]) for patient in patients])
    return numbers, probabilities / probabilities.sum(axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path, nargs="+", help="folders that `evaluate` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="says each patient's site")
    options = parser.parse_args()
    with options.manifest.open(encoding="utf-8") as file:
        site_of = {row["patient_id"]: row["site"] for row in csv.DictReader(file)}
    read = [answers_of(folder) for folder in options.scores]
    labels = read[0][1]
    everyone = sorted(set.intersection(*(set(found) for found, _ in read)))
    groups = {"all": (everyone, CLASSES)} | {
        site: ([one for one in everyone if site_of[one] == site], classes)
        for site, classes in WITHIN.items()
    }
    base = {name: part(read[0][0], labels, *group) for name, group in groups.items()}
    print(f"{len(everyone)} patients answered by all\n")
    print(
        "| | AUC, three classes | gain | F1 | ECE "
        "| AUC in `song2021` | gain | AUC in `mosmed` | gain |"
    )
    print("|---" * 9 + "|")
    for folder, (answers, _) in zip(options.scores, read, strict=True):
        cells = [folder.name]
        for name, (patients, classes) in groups.items():
            numbers, probabilities = part(answers, labels, patients, classes)
            found = score_with_intervals(numbers, probabilities, patients, classes).metrics
            difference = auc_difference(numbers, probabilities, base[name][1])
            cells += [told(found["auc"]), gain(difference) if answers is not read[0][0] else ""]
            if name == "all":
                cells += [told(found["f1"]), f"{found['ece']['value']:.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
