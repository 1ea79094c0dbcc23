"""A CT whose values are a linear function of the place in the patient, as DICOM datasets.

Any flip, transposition, wrong order, spacing, shear or rescale then shows as a wrong value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS, SLICES = 40, 48, 12
ROW_MM, COLUMN_MM, SLICE_MM = 2.0, 1.0, 3.0
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIGIN = (-10.0, -20.0, -30.0)
STUDY_UID, SERIES_UID, FRAME_UID = "1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.9"


def ramp(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU at LPS points (..., 3): different along each axis, so that no two can be mistaken."""
    return -300 + points @ np.array([2.0, 3.0, 7.0])


def grid(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(slices, rows, columns, 3): the place of every voxel in LPS mm."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def ct_slice(
    position: Sequence[float],
    orientation: Sequence[float] = AXIAL,
    *,
    slope: float = 1,
    intercept: float = -1024,
    signed: bool = False,
) -> Dataset:
    """One uncompressed CT image whose stored values give `ramp` once they are rescaled."""
    affine = np.eye(4)
    affine[:3, 1] = np.array(orientation[3:]) * ROW_MM
    affine[:3, 2] = np.array(orientation[:3]) * COLUMN_MM
    affine[:3, 3] = position
    hu = ramp(grid(affine, (1, ROWS, COLUMNS)))[0]
    stored = np.round((hu - intercept) / slope).astype(np.int16 if signed else np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    dataset.FrameOfReferenceUID = FRAME_UID
    dataset.PatientID, dataset.PatientName = "SECRET-7", "Doe^Jane"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription = "Thorax of Jane Doe"
    dataset.ImagePositionPatient = [round(float(v), 6) for v in position]
    dataset.ImageOrientationPatient = [round(float(v), 6) for v in orientation]
    dataset.PixelSpacing, dataset.SliceThickness = [ROW_MM, COLUMN_MM], SLICE_MM
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.tobytes()
    return dataset


def chest(
    count: int = SLICES,
    *,
    step: Sequence[float] = (0.0, 0.0, SLICE_MM),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = ORIGIN,
    **options: Any,
) -> list[Dataset]:
    """Slices from feet to head along `step`, numbered so that InstanceNumber misleads."""
    slices = [
        ct_slice(np.array(origin) + i * np.array(step), orientation, **options)
        for i in range(count)
    ]
    for number, dataset in enumerate(reversed(slices), start=1):
        dataset.InstanceNumber = number
    return slices


def save(datasets: Sequence[Dataset], folder: Path, prefix: str = "") -> Path:
    """Write under names that say nothing about the order; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, dataset in enumerate(datasets):
        name = f"{prefix}{(index * 7 + 3) % 101:03d}-{index % 3}"
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder


def with_tags(slices: list[Dataset], **values: Any) -> list[Dataset]:
    """The same slices with these values in every header."""
    for dataset in slices:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return slices
