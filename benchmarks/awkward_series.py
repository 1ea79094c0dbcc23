"""How many awkward CT series common readers get right: every voxel in its place, or a refusal.

    python benchmarks/awkward_series.py --out awkward_series.csv

The series are those of tests/readers/awkward: a CT whose HU are a linear ramp of the place in the
patient, so that a reader is right when each of its voxels has the ramp's value at the place where
the reader says it lies, and wrong when one has not. A series with a fault must not be read at all.
"""

import argparse
import csv
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "readers" / "awkward"))
from ramp_ct import COLUMNS, ROWS, SLICES, grid, ramp
from readable import READABLE, corners_of
from refusable import REFUSABLE

from deeppneumonia.readers import read_volume, sharing_a_child

Scan = tuple[NDArray[Any], NDArray[np.float64]]
"""HU by (slice, row, column), and the (4, 4) affine from that index to LPS mm."""

RIGHT, WRONG, REFUSED, ACCEPTED = "right", "wrong", "refused", "accepted"


@dataclass(frozen=True, slots=True)
class Row:
    """One series read by one reader."""

    series: str
    has_fault: bool
    reader: str
    outcome: str


def ours(folder: Path) -> Scan:
    """DeepPneumonia; a series that may get no answer (`oblique`) is read all the same."""
    volume = read_volume(folder)
    return volume.array, volume.affine


def simpleitk(folder: Path) -> Scan:
    """ImageSeriesReader with GDCM's file names, of the series with most files."""
    toolkit: Any = SimpleITK
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    names = max(
        (
            toolkit.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), uid)
            for place in folders
            for uid in toolkit.ImageSeriesReader.GetGDCMSeriesIDs(str(place))
        ),
        key=len,
    )
    reader = toolkit.ImageSeriesReader()
    reader.SetFileNames(names)
    image = reader.Execute()
    if image.GetDimension() == 4:
        image = image[..., 0]
    affine = np.eye(4)
    cosines = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = (cosines * np.array(image.GetSpacing()))[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return toolkit.GetArrayFromImage(image), affine


def by_number(folder: Path) -> Scan:
    """The recipe of many tutorials: pydicom, sorted by InstanceNumber."""
    return _stacked(folder, lambda dataset: int(dataset.InstanceNumber))


def by_height(folder: Path) -> Scan:
    """The better recipe: pydicom, sorted by the third value of Image Position (Patient)."""
    return _stacked(folder, lambda dataset: float(dataset.ImagePositionPatient[2]))


def _stacked(folder: Path, key: Callable[[pydicom.Dataset], float]) -> Scan:
    files = [file for file in folder.rglob("*") if file.is_file()]
    found = []
    for file in files:
        try:
            dataset = pydicom.dcmread(file)
        except pydicom.errors.InvalidDicomError:
            continue
        if "PixelData" in dataset:
            found.append(dataset)
    slices = sorted(found, key=key)
    hu = [
        each.pixel_array * float(each.get("RescaleSlope", 1))
        + float(each.get("RescaleIntercept", 0))
        for each in slices
    ]
    places = [np.array(each.ImagePositionPatient, float) for each in slices]
    cosines = np.array(slices[0].ImageOrientationPatient, float)
    affine = np.eye(4)
    affine[:3, 0] = places[1] - places[0]
    affine[:3, 1] = cosines[3:] * float(slices[0].PixelSpacing[0])
    affine[:3, 2] = cosines[:3] * float(slices[0].PixelSpacing[1])
    affine[:3, 3] = places[0]
    return np.stack(hu), affine


READERS: dict[str, Callable[[Path], Scan]] = {
    "DeepPneumonia": ours,
    "SimpleITK ImageSeriesReader": simpleitk,
    "pydicom, by ImagePositionPatient[2]": by_height,
    "pydicom, by InstanceNumber": by_number,
}


def is_right(scan: Scan, corners: NDArray[np.float64], tolerance_hu: float) -> bool:
    """Whether every voxel is there, and holds the ramp at its place."""
    hu, affine = scan
    if sorted(hu.shape) != sorted((SLICES, ROWS, COLUMNS)) or not np.isfinite(affine).all():
        return False
    found, known = (
        points[np.lexsort(np.round(points).T)] for points in (corners_of(affine, hu.shape), corners)
    )
    expected = ramp(grid(affine, hu.shape))
    return bool(abs(found - known).max() < 0.1 and abs(hu - expected).max() <= tolerance_hu)


def measure() -> Iterator[Row]:
    """Each series read by each reader, in a folder of its own."""
    for case in (*READABLE, *REFUSABLE):
        has_fault = case in REFUSABLE
        for name, read in READERS.items():
            with tempfile.TemporaryDirectory() as folder:
                case.write(Path(folder))
                try:
                    scan = read(Path(folder))
                # Whatever a reader raises is its way of refusing.
                except Exception:
                    yield Row(case.name, has_fault, name, REFUSED)
                    continue
            if has_fault:
                yield Row(case.name, has_fault, name, ACCEPTED)
            else:
                right = is_right(scan, case.corners, case.tolerance_hu)
                yield Row(case.name, has_fault, name, RIGHT if right else WRONG)


def print_table(rows: list[Row]) -> None:
    """What became of the series, by reader; then which were read wrong or accepted."""
    sound, faulty = len(READABLE), len(REFUSABLE)
    print(
        f"| reader | right, of {sound} | wrong, without a word | not read "
        f"| with a fault: refused, of {faulty} | accepted |\n" + "|---" * 6 + "|"
    )
    for name in READERS:
        counts = Counter((row.has_fault, row.outcome) for row in rows if row.reader == name)
        cells = [
            (False, RIGHT),
            (False, WRONG),
            (False, REFUSED),
            (True, REFUSED),
            (True, ACCEPTED),
        ]
        print(f"| {name} | " + " | ".join(str(counts[cell]) for cell in cells) + " |")
    for name in READERS:
        for outcome in (WRONG, ACCEPTED):
            listed = [row.series for row in rows if (row.reader, row.outcome) == (name, outcome)]
            if listed:
                print(f"\n{name}, {outcome}: {', '.join(listed)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV, one line per series, reader")
    arguments = parser.parse_args()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    warnings.simplefilter("ignore")
    with sharing_a_child():
        rows = list(measure())
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    print_table(rows)


if __name__ == "__main__":
    main()
