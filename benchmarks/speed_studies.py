"""The study that speed is measured on: 512 x 512 slices of a phantom, plain and compressed.

Thirty slices of a phantom are drawn, and each stands for its neighbours with noise of its own, as
drawing 300 takes minutes. All show lungs, so that the network reads all that are examined, which is
the most that a study can cost. Headers hold about a hundred elements, as those of scanners do.
"""

import shutil
from pathlib import Path

import gdcm
import numpy as np
from pydicom import Dataset, FileDataset, dcmread

from deeppneumonia.phantoms import PhantomConfig, make_phantom, write_dicom
from deeppneumonia.phantoms.config import FIELD_MM

DRAWN = 30
PHANTOM_SLICES, LOWEST = 48, 11
"""Of so many slices of the phantom those from here on are drawn: from the base of the lungs up."""

NOISE_HU = 10.0
LENGTH_MM = FIELD_MM[0] * DRAWN / PHANTOM_SLICES
OWN_ELEMENTS = 50
"""Private elements beside the fifty that a phantom has."""


def make_studies(folder: Path, slices: int) -> dict[str, Path]:
    """The same patient, uncompressed and as JPEG Lossless; made where it is missing."""
    ways = {"uncompressed": _write_plain, "JPEG Lossless": _write_packed}
    found = {}
    for name, write in ways.items():
        study = folder / f"{slices}_{name.replace(' ', '_').lower()}"
        if not study.is_dir():
            unfinished = study.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            write(folder, unfinished, slices)
            unfinished.rename(study)
        found[name] = study
    return found


def _write_plain(folder: Path, study: Path, slices: int) -> None:
    """One file a slice under shuffled names, so that only the geometry gives the order."""
    sources = _drawn(folder)
    rng = np.random.default_rng(7)
    for number, name in enumerate(rng.permutation(slices)):
        image = sources[number * DRAWN // slices]
        pixels = image.pixel_array + np.round(rng.normal(0, NOISE_HU, image.pixel_array.shape))
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number + 1}"
        height_mm = LENGTH_MM * number / slices
        image.ImagePositionPatient = [*image.ImagePositionPatient[:2], height_mm]
        image.SliceThickness = f"{LENGTH_MM / slices:.3f}"
        _as_a_scanner_does(image)
        packed = FileDataset("", image, file_meta=image.file_meta, preamble=b"\0" * 128)
        packed.PixelData = pixels.clip(0, 4095).astype(np.uint16).tobytes()
        packed.save_as(study / f"IM{name:04d}.dcm", enforce_file_format=True)


def _drawn(folder: Path) -> list[FileDataset]:
    """The phantom's slices from the feet."""
    drawn = folder / "drawn"
    if not drawn.is_dir():
        config = PhantomConfig(label="covid", seed=900, shape=(PHANTOM_SLICES, 512, 512))
        unfinished = write_dicom(make_phantom(config), drawn.with_suffix(".unfinished"))
        unfinished.rename(drawn)
    slices = [dcmread(file) for file in drawn.iterdir()]
    slices.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    return slices[LOWEST : LOWEST + DRAWN]


def _as_a_scanner_does(image: Dataset) -> None:
    block = image.private_block(0x0019, "SPEED", create=True)
    for number in range(OWN_ELEMENTS - 2):
        block.add_new(number, "DS", str(number / 8))
    block.add_new(0xFE, "OB", bytes(2048))


def _write_packed(folder: Path, study: Path, slices: int) -> None:
    """The plain study, packed by GDCM's encoder (process 14, selection value 1)."""
    syntax = gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    for file in (folder / f"{slices}_uncompressed").iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(file))
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(syntax)
        if not reader.Read():
            raise OSError(f"{file} cannot be read")
        change.SetInput(reader.GetImage())
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(study / file.name))
        writer.SetFile(reader.GetFile())
        if not change.Change():
            raise OSError(f"{file} cannot be packed")
        writer.SetImage(change.GetOutput())
        writer.Write()
