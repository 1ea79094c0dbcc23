"""The ramp CT in every form of storing pixels that scanners and archives use; real encoders."""

import copy
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, EnhancedCTImageStorage, HTJ2KLossless
from ramp_ct import SLICES, chest, save

BASELINE = gdcm.TransferSyntax.JPEGBaselineProcess1
LOSSLESS_14 = gdcm.TransferSyntax.JPEGLosslessProcess14
LOSSLESS_SV1 = gdcm.TransferSyntax.JPEGLosslessProcess14_1
HTJ2K_FRAMES = Path(__file__).parent / "htj2k.zip"
"""The slices of `chest()`, packed once with OpenJPH 0.9, the only free encoder, which is no wheel:
`ojph_compress -i 00.pgm -o 00.j2c -reversible true -num_decomps 3`."""


def packed(slices: list[Dataset], syntax: UID, **options: Any) -> list[Dataset]:
    """Compressed by pydicom's encoders: RLE, JPEG 2000 (openjpeg), JPEG-LS (CharLS)."""
    for dataset in slices:
        compress(dataset, syntax, generate_instance_uid=False, **options)
    return slices


def high_throughput(slices: list[Dataset]) -> list[Dataset]:
    """The plain chest as High-Throughput JPEG 2000."""
    with zipfile.ZipFile(HTJ2K_FRAMES) as frames:
        for dataset, name in zip(slices, sorted(frames.namelist()), strict=True):
            dataset.PixelData = encapsulate([frames.read(name)])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    return slices


def save_with_gdcm(slices: Sequence[Dataset], folder: Path, syntax: int) -> Path:
    """Written, then packed by GDCM, which has the encoder for JPEG Lossless."""
    for file in sorted(save(slices, folder).iterdir()):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(file))
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        assert reader.Read()
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(file))  # empties the file at once
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    return folder


def stored_as(slices: list[Dataset], bits: int, *, allocated: int = 16) -> list[Dataset]:
    """The same values in fewer bits; the bits above them hold an overlay, as in old files."""
    for dataset in slices:
        values = np.frombuffer(dataset.PixelData, np.int16).astype(np.int64)
        raw = values & ((1 << bits) - 1)
        if allocated > bits:
            raw |= 0b101 << bits
        raw &= (1 << allocated) - 1
        dataset.PixelData = raw.astype(f"<u{allocated // 8}").tobytes()
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    return slices


def left_aligned(slices: list[Dataset]) -> list[Dataset]:
    """Twelve bits in the upper part of sixteen: HighBit 15, as ACR-NEMA allowed."""
    for dataset in slices:
        raw = (np.frombuffer(dataset.PixelData, np.uint16) & 0x0FFF) << 4
        dataset.PixelData = (raw | 0b11).astype(np.uint16).tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 15
    return slices


def in_eight_bits(slices: list[Dataset]) -> list[Dataset]:
    """One byte a pixel, four HU a step."""
    for dataset in slices:
        hu = np.frombuffer(dataset.PixelData, np.uint16).astype(int) - 1024
        dataset.RescaleSlope, dataset.RescaleIntercept = 4, -720
        dataset.PixelData = np.round((hu + 720) / 4).astype(np.uint8).tobytes()
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset["PixelData"].VR = "OB"
    return slices


def big_endian(slices: list[Dataset]) -> list[Dataset]:
    for dataset in slices:
        dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
        dataset["PixelData"].VR = "OW"
    return slices


def save_bare(slices: Sequence[Dataset], folder: Path) -> Path:
    """Implicit VR without preamble and file meta information, as old archives sent it."""
    for file in sorted(save(slices, folder).iterdir()):
        dataset = dcmread(file)
        del dataset.file_meta
        dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    return folder


def wrong_sign(slices: list[Dataset]) -> list[Dataset]:
    """Signed values in a JPEG 2000 stream that calls them unsigned, as some archives write."""
    for dataset in slices:
        dataset.PixelRepresentation = 0
        compress(dataset, UID("1.2.840.10008.1.2.4.90"), generate_instance_uid=False)
        dataset.PixelRepresentation = 1
    return slices


def enhanced(slices: Sequence[Dataset]) -> Dataset:
    """The same slices as one Enhanced CT image, its frames in the order given."""
    whole = copy.deepcopy(slices[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(whole, keyword)
    del whole.RescaleSlope, whole.RescaleIntercept, whole.SliceThickness, whole.InstanceNumber
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.NumberOfFrames = len(slices)
    whole.PixelData = b"".join(single.PixelData for single in slices)
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = _group(PixelSpacing=[2.0, 1.0], SliceThickness=3.0)
    whole.SharedFunctionalGroupsSequence = Items([shared])
    whole.PerFrameFunctionalGroupsSequence = Items([_frame(single) for single in slices])
    return whole


def shuffled(slices: Sequence[Dataset]) -> list[Dataset]:
    return [slices[(5 * i + 2) % SLICES] for i in range(len(slices))]


def parts(slices: Sequence[Dataset]) -> list[Dataset]:
    """Two Enhanced images of one series (a concatenation)."""
    first, second = enhanced(slices[:5]), enhanced(slices[5:])
    return [second, first]


def _frame(single: Dataset) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = _group(ImagePositionPatient=single.ImagePositionPatient)
    frame.PixelValueTransformationSequence = _group(
        RescaleSlope=single.RescaleSlope, RescaleIntercept=single.RescaleIntercept, RescaleType="HU"
    )
    return frame


def _group(**values: Any) -> Items:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Items([item])


def lossless_chest() -> list[Dataset]:
    """A chest that every lossless encoder here takes: twelve bits, unsigned."""
    slices = chest()
    for dataset in slices:
        dataset.BitsStored, dataset.HighBit = 12, 11
    return slices
