"""How well lungs are found in phantoms, whose lungs and lesions are known, dense lobes included.

    python benchmarks/lung_phantoms.py --out lung_phantoms.csv

Sixteen phantoms with bacterial pneumonia, six with COVID-19, six healthy, 15 slices each of
256 x 256 pixels, in HU and as grey pictures of the lung window. The unit is the slice; a slice
without lung scores 1 when none is found and 0 otherwise.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deeppneumonia.domain import Diagnosis, Unit
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import apply_window, find_lungs

SHAPE = (15, 256, 256)
SEEDS = {
    Diagnosis.BACTERIAL: range(500, 516),
    Diagnosis.COVID: range(520, 526),
    Diagnosis.HEALTHY: range(530, 536),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One slice; areas in pixels."""

    label: str
    seed: int
    slice_index: int
    unit: str
    lung: int
    found: int
    both: int
    lesion: int
    lesion_found: int

    @property
    def dice(self) -> float:
        """Overlap of the lungs found and drawn."""
        return 2 * self.both / (self.lung + self.found) if self.lung + self.found else 1.0


def measure(label: Diagnosis, seed: int) -> Iterator[Row]:
    """Search every slice of one phantom, in HU and in grey levels."""
    phantom = make_phantom(PhantomConfig(label=label, seed=seed, shape=SHAPE))
    for index in range(SHAPE[0]):
        hu = phantom.volume.slice(index)
        lung, lesion = phantom.lung_mask[index], phantom.lesion_mask[index]
        grey = apply_window(hu, center_hu=-600, width_hu=1500)
        for pixels, unit in ((hu, Unit.HU), (grey, Unit.GREY)):
            found = find_lungs(pixels, unit)
            areas = (lung, found, lung & found, lesion, lesion & found)
            yield Row(str(label), seed, index, unit.value, *(int(area.sum()) for area in areas))


def print_table(rows: list[Row]) -> None:
    """Per diagnosis and unit: Dice, what of all lesions lies inside, what is too much."""
    heads = ("", "slices", "Dice, mean", "median", "of all lesion inside", "too much, of all lung")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for name in sorted({(row.label, row.unit) for row in rows}):
        own = [row for row in rows if (row.label, row.unit) == name]
        dice = [row.dice for row in own]
        lung, found, both, lesion, lesion_found = (
            sum(getattr(row, column) for row in own)
            for column in ("lung", "found", "both", "lesion", "lesion_found")
        )
        inside = f"{lesion_found / lesion:.3f}" if lesion else "--"
        cells = (f"{np.mean(dice):.3f}", f"{np.median(dice):.3f}", inside)
        spill = f"{(found - both) / lung:.3f}"
        print("| " + " | ".join([", ".join(name), str(len(own)), *cells, spill]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV, one line per slice and unit")
    arguments = parser.parse_args()
    rows = [row for label in SEEDS for seed in SEEDS[label] for row in measure(label, seed)]
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    print_table(rows)


if __name__ == "__main__":
    main()
