"""How well lungs are found: Dice against masks drawn by radiologists, beside plain thresholding.

    python benchmarks/lung_dice.py --data DATA/medseg --out lung_dice.csv

DATA/medseg holds the slices of MedSeg's COVID-19 CT set as pictures: manifest.csv with the columns
path, patient_id, lung_mask and lesion_mask, and the files it names. The unit is the slice; a
slice without lung in the mask scores 1 when none is found and 0 otherwise.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit
from deeppneumonia.preprocessing import find_lungs

MIN_LESION_PX = 50
"""Smaller lesions are left out of the lesion column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One slice searched by one method."""

    method: str
    path: str
    patient_id: str
    dice: float
    lesion_inside: float | None
    """Share of the lesion's pixels inside the lungs found; None for slices without lesion."""

    milliseconds: float


def plain_threshold(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is usually done: Otsu's threshold, the two largest pieces off the edge, holes filled."""
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    at_edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    inside = [label for label in range(1, len(stats)) if label not in at_edge]
    inside.sort(key=lambda label: int(stats[label, cv2.CC_STAT_AREA]), reverse=True)
    pieces = np.isin(labels, inside[:2]).astype(np.uint8)
    outlines, _ = cv2.findContours(pieces, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.drawContours(np.zeros_like(pieces), outlines, -1, 1, cv2.FILLED).astype(bool)


def ours(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lungs as DeepPneumonia finds them."""
    return find_lungs(grey, Unit.GREY)


METHODS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.bool_]]] = {
    "deeppneumonia": ours,
    "plain threshold": plain_threshold,
}


def measure(data: Path) -> Iterator[Row]:
    """Search every slice of the manifest with every method."""
    with (data / "manifest.csv").open(newline="") as file:
        entries = list(csv.DictReader(file))
    for entry in entries:
        grey = cv2.imread(str(data / entry["path"]), cv2.IMREAD_GRAYSCALE)
        truth, lesion = (
            cv2.imread(str(data / entry[column]), cv2.IMREAD_GRAYSCALE) > 0
            for column in ("lung_mask", "lesion_mask")
        )
        for name, method in METHODS.items():
            started = time.perf_counter()
            found = method(grey)
            spent_ms = 1000 * (time.perf_counter() - started)
            both = int(found.sum() + truth.sum())
            dice = 2 * int((found & truth).sum()) / both if both else 1.0
            inside = float(found[lesion].mean()) if lesion.sum() >= MIN_LESION_PX else None
            yield Row(name, entry["path"], entry["patient_id"], dice, inside, spent_ms)


def print_table(rows: list[Row]) -> None:
    """Dice over all slices and per patient, and the share of lesions inside, for each method."""
    heads = ("", "n", "mean", "median", "p5", "min", "<0.9", "lesion median", "mean", "ms")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for method in METHODS:
        own = [row for row in rows if row.method == method]
        groups = {"all": own}
        for row in own:
            groups.setdefault(row.patient_id, []).append(row)
        for name, group in groups.items():
            dice = np.array([row.dice for row in group])
            lesions = [row.lesion_inside for row in group if row.lesion_inside is not None]
            lesion = (f"{np.median(lesions):.3f}", f"{np.mean(lesions):.3f}") if lesions else "--"
            cells = [
                f"{method}, {name}",
                str(len(group)),
                *(f"{v:.3f}" for v in (dice.mean(), np.median(dice), np.percentile(dice, 5))),
                f"{dice.min():.3f}",
                str(int((dice < 0.9).sum())),
                *lesion,
                f"{np.median([row.milliseconds for row in group]):.0f}",
            ]
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="CSV, one line per slice, method")
    arguments = parser.parse_args()
    rows = list(measure(arguments.data))
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    print_table(rows)


if __name__ == "__main__":
    main()
