"""Small honest studies of every accepted kind: what an attacker would start from."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

SIDE = 32
PIXELS = (np.add.outer(np.arange(SIDE), 7 * np.arange(SIDE)) % 1500).astype(np.uint16)
HU = np.stack([PIXELS.astype(np.int16) - 1024] * 4)


def ct(**changes: object) -> Dataset:
    """One CT slice; keyword arguments replace elements."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    dataset.PatientID, dataset.PatientName, dataset.Modality = "SECRET-7", "Doe^Jane", "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [-100, -100, 5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [8, 8], 5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = PIXELS.tobytes()
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def dicom_bytes(dataset: Dataset) -> bytes:
    """As a file, preamble included."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def in_syntax(syntax: str) -> bytes:
    """The slice in a transfer syntax that needs no codec of pixels."""
    dataset = ct()
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = PIXELS.astype(">u2").tobytes()
    return dicom_bytes(dataset)


def compressed(syntax: str) -> bytes:
    """The slice in a compressed transfer syntax."""
    dataset = ct()
    dataset.compress(syntax, generate_instance_uid=False)
    return dicom_bytes(dataset)


def encapsulated(stream: bytes, syntax: str, **changes: object) -> bytes:
    """Any bytes as the compressed pixels of a slice."""
    dataset = ct(**changes)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dicom_bytes(dataset)


def enhanced() -> bytes:
    """Four frames with functional groups."""
    dataset = ct(NumberOfFrames=4, PixelData=PIXELS.tobytes() * 4)
    frames = []
    for index in range(4):
        frame, plane = Dataset(), Dataset()
        plane.ImagePositionPatient = [-100, -100, 5 * index]
        frame.PlanePositionSequence = [plane]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    return dicom_bytes(dataset)


def nifti(
    dims: tuple[int, ...] = (3, SIDE, SIDE, 4, 1, 1, 1, 1),
    kind: int = 4,
    *,
    offset: float = 352.0,
    slope: float = 1.0,
    intercept: float = 0.0,
    sform: tuple[float, ...] = (-8, 0, 0, 0, 0, -8, 0, 0, 0, 0, 5, 0),
    voxels: bytes = HU.tobytes(),
) -> bytes:
    """A NIfTI-1 file, written field by field."""
    raw = bytearray(352)
    struct.pack_into("<i", raw, 0, 348)
    struct.pack_into("<8h", raw, 40, *dims)
    struct.pack_into("<2h", raw, 70, kind, 16)
    struct.pack_into("<3f", raw, 108, offset, slope, intercept)
    raw[123] = 2
    struct.pack_into("<2h", raw, 252, 0, 1)
    struct.pack_into("<12f", raw, 280, *sform)
    raw[344:348] = b"n+1\0"
    return bytes(raw) + voxels


def meta_image(voxels: bytes = HU.tobytes(), **changes: str) -> bytes:
    """A MetaImage; keyword arguments replace or add fields, an empty one removes it."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-100 -100 0",
        "ElementSpacing": "8 8 5",
        "DimSize": f"{SIDE} {SIDE} 4",
        "ElementType": "MET_SHORT",
    }
    fields |= changes
    last = fields.pop("ElementDataFile", "LOCAL")
    lines = [f"{name} = {value}" for name, value in fields.items() if value]
    return "\n".join([*lines, f"ElementDataFile = {last}", ""]).encode("latin-1") + voxels


def packed_meta_image(voxels: bytes, **changes: str) -> bytes:
    """A MetaImage with compressed voxels."""
    packed = zlib.compress(voxels)
    size = {"CompressedData": "True", "CompressedDataSize": str(len(packed))}
    return meta_image(packed, **(size | changes))


def nrrd(voxels: bytes = HU.tobytes(), **changes: str) -> bytes:
    """An NRRD; a field's name has underscores for blanks, an empty field is left out."""
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": f"{SIDE} {SIDE} 4",
        "space_directions": "(8,0,0) (0,8,0) (0,0,5)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space_origin": "(-100,-100,0)",
    }
    fields |= changes
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in fields.items() if value]
    return "\n".join(["NRRD0004", *lines, "", ""]).encode("latin-1") + voxels


def picture(suffix: str, side: int = 64) -> bytes:
    """A grey picture."""
    grey = (np.add.outer(np.arange(side), np.arange(side)) % 256).astype(np.uint8)
    return cv2.imencode(suffix, grey)[1].tobytes()


def zipped(**members: bytes) -> bytes:
    """A plain zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


HONEST: dict[str, Callable[[], bytes]] = {
    "explicit.dcm": lambda: in_syntax(ExplicitVRLittleEndian),
    "implicit.dcm": lambda: in_syntax(ImplicitVRLittleEndian),
    "big.dcm": lambda: in_syntax(ExplicitVRBigEndian),
    "deflated.dcm": lambda: in_syntax(DeflatedExplicitVRLittleEndian),
    "rle.dcm": lambda: compressed(RLELossless),
    "j2k.dcm": lambda: compressed(JPEG2000Lossless),
    "jpegls.dcm": lambda: compressed(JPEGLSLossless),
    "enhanced.dcm": enhanced,
    "volume.nii": nifti,
    "volume.nii.gz": lambda: gzip.compress(nifti(), mtime=0),
    "volume.mha": meta_image,
    "packed.mha": lambda: packed_meta_image(HU.tobytes()),
    "volume.nrrd": nrrd,
    "packed.nrrd": lambda: nrrd(gzip.compress(HU.tobytes(), mtime=0), encoding="gzip"),
    "slice.png": lambda: picture(".png"),
    "slice.jpg": lambda: picture(".jpg"),
    "study.zip": lambda: zipped(**{"a/1.dcm": dicom_bytes(ct()), "a/note.txt": b"hello"}),
}
"""File name and content of one study each; all of them can be read."""
