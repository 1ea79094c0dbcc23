"""Chests in fields and scans that are not a chest's: as PET-CT, or CT from chest to pelvis.

    python benchmarks/odd_scans.py --data DATA

How many of 15 slices are kept, and what else is said of them. `covid_ct_md`: its three patients
laid into wider fields (512 x 512 pixels, air around), and cut down to narrower ones. Phantoms:
three chests of 300 mm above one or two bellies, and below a head. The rules were made while
looking at these very scans, so this is no held-out figure.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Unit, Volume, volume_of
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.phantoms.other_bodies import Region, make_belly, make_other_body
from deeppneumonia.preprocessing import check_input, examine
from deeppneumonia.readers import read_volume

WIDE_MM, NARROW_MM = (500, 600, 700, 780), (300, 260, 220, 180)
SIDE_PX = 512
SEEDS = (0, 1, 2)
SHAPE = (60, 192, 192)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    options = parser.parse_args()
    for name, volume in (*fields(options.data / "covid_ct_md" / "dicom"), *scans()):
        examination = examine(volume)
        said = (*examination.flags, *check_input(volume, examination).flags)
        flags = ", ".join(flag.code for flag in said if flag.code != "slices_dropped")
        ml = examination.facts["lung_volume_ml"]
        print(f"{name}: {len(examination.kept)} kept, lungs {ml} ml; {flags or 'no flag'}")


def fields(folder: Path) -> Iterator[tuple[str, Volume]]:
    """Each patient as scanned, in wider fields and in narrower ones."""
    for patient in sorted(folder.iterdir()):
        volume = read_volume(patient)
        between, pixel_mm, _ = volume.spacing_mm
        array = volume.array
        yield f"{patient.name}, {len(array[0]) * pixel_mm:.0f} mm as scanned", volume
        for field_mm in WIDE_MM:
            wide = np.stack([laid_into(one, pixel_mm, field_mm) for one in array])
            spacing = (between, field_mm / SIDE_PX, field_mm / SIDE_PX)
            yield f"{patient.name}, {field_mm} mm", volume_of(wide, Unit.HU, spacing)
        for field_mm in NARROW_MM:
            for aside_mm in (0, 60):
                cut = cut_down(array, field_mm / pixel_mm, aside_mm / pixel_mm)
                where = f", {aside_mm} mm aside" if aside_mm else ""
                name = f"{patient.name}, cut to {field_mm} mm{where}"
                yield name, volume_of(cut, Unit.HU, (between, pixel_mm, pixel_mm))


def laid_into(pixels: NDArray[Any], pixel_mm: float, field_mm: float) -> NDArray[np.int16]:
    """A slice in the middle of a wider field."""
    scale = pixel_mm * SIDE_PX / field_mm
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    wide = np.full((SIDE_PX, SIDE_PX), -1024, np.int16)
    first = (SIDE_PX - len(small)) // 2
    wide[first : first + len(small), first : first + len(small)] = small
    return wide


def cut_down(array: NDArray[Any], side_px: float, aside_px: float) -> NDArray[Any]:
    """The middle of all slices, or what lies beside it on the patient's right."""
    side, whole = round(side_px), array.shape[1]
    top = max(0, (whole - side) // 2)
    left = max(0, top - round(aside_px))
    return np.ascontiguousarray(array[:, top : top + side, left : left + side])


def scans() -> Iterator[tuple[str, Volume]]:
    """Phantoms of a chest alone, and of what is scanned with it."""
    for seed in SEEDS:
        chest = make_phantom(PhantomConfig(label="covid", seed=seed, shape=SHAPE)).volume
        abdomen = make_other_body(Region.ABDOMEN, seed, SHAPE).array
        head = make_other_body(Region.HEAD, seed, SHAPE).array[::4]
        belly = make_belly(seed, SHAPE).array
        for name, parts in {
            "chest": [chest.array],
            "chest and belly": [belly, chest.array],
            "chest to pelvis": [belly, belly, chest.array],
            "eyes to thighs": [belly, belly, chest.array, head],
            "abdomen with bases of the lungs": [abdomen],
            "the same and below": [belly, belly, abdomen],
        }.items():
            array = np.concatenate(parts)
            length = len(array) * chest.spacing_mm[0]
            volume = volume_of(array, Unit.HU, chest.spacing_mm)
            yield f"phantom {seed}, {name}, {length:.0f} mm", volume


if __name__ == "__main__":
    main()
