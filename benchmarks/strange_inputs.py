"""Inputs that must not be answered, as files: other bodies, other modalities, spoilt pictures.

Everything is made here; photographs are the sample pictures of scikit-image, where it is installed
(`pip install scikit-image`), and what comes from a data set is copied into a temporary folder.
"""

import csv
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from deeppneumonia.domain import Volume
from deeppneumonia.phantoms import Phantom, PhantomConfig, make_phantom, write_dicom, write_nifti
from deeppneumonia.phantoms.other_bodies import Region, make_other_body
from deeppneumonia.phantoms.other_pictures import (
    WRONG_WINDOWS,
    inverted,
    mr_like,
    radiographs,
    windowed,
)

SHAPE = (10, 256, 256)
FIRST_SEED = 700_000  # of patients that no training has seen
LABELS = ("covid", "bacterial", "healthy")

Case = tuple[str, Path]
"""Kind of input, and where its files lie."""


def strange_inputs(folder: Path, per_kind: int, data: Path | None) -> Iterator[Case]:
    """Make the cases one after the other, `per_kind` of each kind that is drawn."""
    for number in range(per_kind):
        yield from _drawn(folder / f"{number:03d}", number)
    yield from _photographs(folder / "photographs")
    if data is not None:
        yield from _turned(folder / "turned", data)


def phantom(number: int, contrast_hu: float = 0.0) -> Phantom:
    """A chest that no network was trained on; labels in turn."""
    label = LABELS[number % len(LABELS)]
    config = PhantomConfig(
        label=label, seed=FIRST_SEED + number, shape=SHAPE, contrast_hu=contrast_hu
    )
    return make_phantom(config)


def _drawn(folder: Path, number: int) -> Iterator[Case]:
    seed = FIRST_SEED + number
    for region in Region:
        body = make_other_body(region, seed, SHAPE)
        yield f"{region} CT", _nifti(folder / f"{region}.nii", body)
    enhanced = phantom(number, contrast_hu=150.0 + 10 * (number % 16))
    yield "chest CT with contrast medium", write_nifti(enhanced, folder / "contrast.nii")
    chest = phantom(number)
    yield "MR, DICOM", _mr_dicom(chest, folder / "mr_dicom")
    yield "MR, pictures", _pictures(folder / "mr", mr_like(chest))
    yield "radiographs", _pictures(folder / "radiographs", radiographs(chest))
    yield "black and white exchanged", _pictures(folder / "negative", inverted(chest))
    for name, window in WRONG_WINDOWS.items():
        yield f"{name} window", _pictures(folder / name, windowed(chest, *window))
    lung = windowed(chest, -600.0, 1500.0)
    yield "upside down", _pictures(folder / "upside_down", lung[:, ::-1])
    yield "lungs shuffled", _pictures(folder / "shuffled", _shuffled(lung, seed))
    yield "mirrored", _pictures(folder / "mirrored", lung[:, :, ::-1])
    rng = np.random.default_rng(seed)
    white = rng.integers(0, 256, SHAPE).astype(np.uint8)
    yield "noise", _pictures(folder / "noise", white)
    yield "noise", _pictures(folder / "clouds", _clouds(rng, 4 + 3 * (number % 9)))


def ordinary(folder: Path, per_kind: int) -> Iterator[Case]:
    """The same chests as they should come: these are to be answered."""
    for number in range(per_kind):
        name = f"{number:03d}"
        yield "chest CT", write_nifti(phantom(number), folder / f"{name}.nii")
        pictures = windowed(phantom(number), -600.0, 1500.0)
        yield "chest CT, pictures", _pictures(folder / name, pictures)


def _clouds(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    clouds = [cv2.GaussianBlur(rng.normal(0, 1, SHAPE[1:]), (0, 0), size) for _ in range(4)]
    grey = [cv2.normalize(cloud, None, 0, 255, cv2.NORM_MINMAX) for cloud in clouds]
    return np.stack(grey).astype(np.uint8)


def _shuffled(pictures: NDArray[np.uint8], seed: int, side: int = 32) -> NDArray[np.uint8]:
    """Every picture cut into squares that change places: tissue, and no chest."""
    slices, rows, columns = pictures.shape
    squares = pictures.reshape(slices, rows // side, side, columns // side, side)
    flat = squares.swapaxes(2, 3).reshape(slices, -1, side, side)
    flat = flat[:, np.random.default_rng(seed).permutation(flat.shape[1])]
    back = flat.reshape(slices, rows // side, columns // side, side, side).swapaxes(2, 3)
    return np.ascontiguousarray(back.reshape(pictures.shape))


def _photographs(folder: Path) -> Iterator[Case]:
    found = find_spec("skimage")
    if found is None or found.origin is None:
        return
    for file in sorted((Path(found.origin).parent / "data").glob("*.[pj][np]g")):
        colour = cv2.imread(str(file))
        if colour is None or min(colour.shape[:2]) < 96:
            continue
        views = [colour[y:, x:] for x, y in ((0, 0), (8, 0), (0, 8), (8, 8))]
        views = [cv2.resize(view, (256, 256)) for view in views]
        yield "photographs, colour", _pictures(folder / f"{file.stem}_colour", np.stack(views))
        grey = [cv2.cvtColor(view, cv2.COLOR_BGR2GRAY) for view in views]
        yield "photographs, grey", _pictures(folder / f"{file.stem}_grey", np.stack(grey))


def _turned(folder: Path, data: Path) -> Iterator[Case]:
    """Whole slices of real patients, mirrored, upside down and negative."""
    changes: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "real, mirrored": lambda picture: picture[:, ::-1],
        "real, upside down": lambda picture: picture[::-1],
        "real, black and white exchanged": lambda picture: 255 - picture,
    }
    for patient, files in real_patients(data):
        for kind, change in changes.items():
            pictures = [change(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)) for file in files]
            yield kind, _pictures(folder / kind.replace(" ", "_") / patient, np.stack(pictures))


def real_patients(data: Path, most: int = 9) -> Iterator[tuple[str, list[Path]]]:
    """Patients with several whole slices of one size, up to `most` of them each."""
    for site in ("medseg", "song2021_full_slices", "luna16"):
        if not (data / site / "manifest.csv").is_file():
            continue
        of_patient: dict[str, list[Path]] = {}
        with (data / site / "manifest.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                of_patient.setdefault(row["patient_id"], []).append(data / site / row["path"])
        for patient, files in of_patient.items():
            step = max(1, len(files) // most)
            yield patient, files[step // 2 :: step][:most]


def open_studies(folder: Path, data: Path) -> Iterator[Case]:
    """The patients of `_turned` as they are: up to nine whole slices each."""
    for patient, files in real_patients(data):
        pictures = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
        yield "open chest CT, studies", _pictures(folder / patient, np.stack(pictures))


def open_slices(data: Path, most: int) -> Iterator[Case]:
    """Whole slices of open chest CT, up to `most` a set, evenly spread."""
    for site in ("mosmed", "saopaulo", "medseg", "song2021_full_slices", "luna16"):
        if (data / site / "manifest.csv").is_file():
            with (data / site / "manifest.csv").open(encoding="utf-8") as file:
                files = [data / site / row["path"] for row in csv.DictReader(file)]
            for file in files[:: max(1, len(files) // most)][:most]:
                yield f"open chest CT, {site}", file


def table_crops(data: Path) -> list[Path]:
    """Crops of song2021 that hold nothing but the scanner table."""
    with (data / "song2021" / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["crop_failed_table_only"] == "1"]
    return [data / "song2021" / row["path"] for row in rows]


def _pictures(folder: Path, pictures: NDArray[np.uint8]) -> Path:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return folder


def _nifti(path: Path, body: Volume) -> Path:
    config = PhantomConfig(label="healthy", seed=0, shape=body.shape)
    nothing = np.zeros(body.shape, bool)
    whole = Phantom(volume=body, lung_mask=nothing, lesion_mask=nothing, config=config)
    return write_nifti(whole, path)


def _mr_dicom(chest: Phantom, folder: Path) -> Path:
    for file in write_dicom(chest, folder).iterdir():
        image = pydicom.dcmread(file)
        image.Modality = "MR"
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        image.save_as(file)
    return folder
