"""Phantoms as files: a DICOM series, a NIfTI volume, lung-window pictures."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from deeppneumonia.phantoms.config import Phantom
from deeppneumonia.phantoms.other_pictures import LUNG_WINDOW_HU, windowed

RESCALE_INTERCEPT_HU = -1024
WRITER_UID = UID("2.25.98765432109876543210")
"""Stands for this writer in the file meta information (PS3.7 D.3.3.2)."""

COMMENT = "Synthetic phantom, no patient: for tests and demonstrations only"


def write_dicom(phantom: Phantom, folder: Path) -> Path:
    """Write one CT series (one file a slice, Explicit VR Little Endian) and return `folder`.

    File names and instance numbers are shuffled on purpose: only the geometry gives the order.
    The same phantom gives the same files and UIDs. Source: DICOM PS3.3 A.3, CT Image IOD.
    """
    folder.mkdir(parents=True, exist_ok=True)
    array = phantom.volume.array
    names = np.random.default_rng([phantom.seed, 6]).permutation(len(array))
    for index, name in enumerate(names):
        dataset = _ct_image(phantom, array[index], index, instance=int(name) + 1)
        content = BytesIO()  # of a full disk pydicom tells by a traceback
        dataset.save_as(content, enforce_file_format=True)
        (folder / f"IM{name:04d}.dcm").write_bytes(content.getvalue())
    return folder


def patient_id(phantom: Phantom) -> str:
    """The name of this phantom patient: label and seed."""
    return f"PHANTOM-{phantom.label}-{phantom.seed}"


def _uid(phantom: Phantom, part: str) -> UID:
    """A UID under 2.25 (PS3.5 B.2) that only the phantom and the part of it decide."""
    config = phantom.config
    key = f"{config.label}/{config.seed}/{config.shape}/{config.source_confound}/{part}"
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(key.encode()).digest()[:15], 'big')}")


def _ct_image(phantom: Phantom, hu: NDArray[np.int16], index: int, instance: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(phantom, f"slice {index}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = WRITER_UID
    image = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.InstanceNumber = instance
    _describe_study(image, phantom)
    _describe_geometry(image, phantom, index)
    _describe_pixels(image, hu)
    return image


def _describe_study(image: Dataset, phantom: Phantom) -> None:
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientName = f"PHANTOM^{phantom.label}^{phantom.seed}"
    image.PatientID = patient_id(phantom)
    image.PatientBirthDate = image.PatientSex = ""
    image.StudyInstanceUID = _uid(phantom, "study")
    image.SeriesInstanceUID = _uid(phantom, "series")
    image.FrameOfReferenceUID = _uid(phantom, "frame of reference")
    image.StudyDate = image.SeriesDate = image.ContentDate = "20200101"
    image.StudyTime = image.SeriesTime = image.ContentTime = "120000"
    image.AccessionNumber = image.ReferringPhysicianName = image.PositionReferenceIndicator = ""
    image.StudyID = str(phantom.seed)
    image.SeriesNumber, image.AcquisitionNumber = 1, 1
    image.Modality, image.BodyPartExamined = "CT", "CHEST"
    image.Manufacturer = "DeepPneumonia phantoms"
    image.StudyDescription = "Synthetic chest CT"
    image.SeriesDescription = "Synthetic phantom, lung"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImageComments = COMMENT
    image.KVP = 120
    image.PatientPosition = "HFS"


def _describe_geometry(image: Dataset, phantom: Phantom, index: int) -> None:
    _, row_mm, column_mm = phantom.volume.spacing_mm
    position = phantom.volume.affine @ (index, 0, 0, 1)
    image.ImagePositionPatient = [round(float(value), 4) for value in position[:3]]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.SliceLocation = image.ImagePositionPatient[2]
    image.PixelSpacing = [round(row_mm, 6), round(column_mm, 6)]
    image.SliceThickness = round(phantom.config.thickness_mm, 4)


def _describe_pixels(image: Dataset, hu: NDArray[np.int16]) -> None:
    image.Rows, image.Columns = hu.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope = RESCALE_INTERCEPT_HU, 1
    image.RescaleType = "HU"
    image.WindowCenter, image.WindowWidth = LUNG_WINDOW_HU
    image.PixelData = (hu - RESCALE_INTERCEPT_HU).astype("<u2").tobytes()


def write_nifti(phantom: Phantom, path: Path) -> Path:
    """Write the HU volume as .nii or .nii.gz, by the ending of `path`, and return `path`."""
    volume = phantom.volume
    path.parent.mkdir(parents=True, exist_ok=True)
    between, down, along = volume.spacing_mm
    image: Any = SimpleITK.GetImageFromArray(volume.array)
    image.SetSpacing((along, down, between))
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    SimpleITK.WriteImage(image, str(path))
    return path


def write_png(phantom: Phantom, folder: Path) -> Path:
    """Write the slices as 8-bit pictures in the lung window, feet first; returns `folder`."""
    return _write_pictures(windowed(phantom, *LUNG_WINDOW_HU), folder)


def write_lesion_mask(phantom: Phantom, folder: Path) -> Path:
    """Write the lesion mask (0 and 255) as pictures, feet first; returns `folder`."""
    return _write_pictures(phantom.lesion_mask.astype(np.uint8) * 255, folder)


def _write_pictures(pictures: NDArray[np.uint8], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        write_picture(picture, folder / f"slice_{index:04d}.png")
    return folder


def write_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write one slice (rows, columns) as a PNG picture."""
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise OSError(f"{path.name} could not be turned into a PNG picture")
    path.write_bytes(data.tobytes())
