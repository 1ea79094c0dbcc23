"""DICOM series that are awkward and all right: each must give the ramp, voxel by voxel."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import encodings_of_ct as encode
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as Items
from ramp_ct import (
    AXIAL,
    COLUMN_MM,
    COLUMNS,
    ORIGIN,
    ROW_MM,
    ROWS,
    SLICE_MM,
    SLICES,
    chest,
    ct_slice,
    save,
    with_tags,
)


@dataclass(frozen=True, slots=True)
class Readable:
    """One awkward series, and what a good reader makes of it."""

    name: str
    write: Callable[[Path], object]
    """Writes the series into an empty folder."""

    flags: tuple[str, ...] = ()
    """Codes of what the reader must say about it."""

    tolerance_hu: float = 0.51
    """Rounding to whole HU, unless the storage is coarser."""

    orientation: tuple[float, ...] = AXIAL
    step: tuple[float, ...] = (0, 0, SLICE_MM)
    origin: tuple[float, ...] = ORIGIN

    @property
    def corners(self) -> NDArray[np.float64]:
        """(8, 3): the LPS places of the outermost voxels, in no particular order."""
        affine = np.eye(4)
        affine[:3, 0] = self.step
        affine[:3, 1] = ROW_MM * np.array(self.orientation[3:])
        affine[:3, 2] = COLUMN_MM * np.array(self.orientation[:3])
        affine[:3, 3] = self.origin
        return corners_of(affine, (SLICES, ROWS, COLUMNS))


def corners_of(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(8, 3): where the outermost voxels of an array lie."""
    return np.array(
        [affine[:3] @ (*at, 1) for at in itertools.product(*[(0, size - 1) for size in shape])]
    )


def _of(slices: Callable[[], list[Dataset]]) -> Callable[[Path], object]:
    return lambda folder: save(slices(), folder)


def _turned(
    name: str, orientation: tuple[float, ...], step: tuple[float, ...], *flags: str
) -> Readable:
    # Slices whose rows run down to the feet begin higher, so that no value falls below air.
    origin = (-10.0, -20.0, 30.0) if orientation[5] < -0.5 else ORIGIN
    return Readable(
        name,
        _of(lambda: chest(orientation=orientation, step=step, origin=origin)),
        flags,
        orientation=orientation,
        step=step,
        origin=origin,
    )


def _rotated(name: str, axis: int, angle_deg: float, *flags: str) -> Readable:
    """An acquisition turned about one of the patient's axes, its slices still at right angles."""
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first], turn[first, second] = cosine, -sine
    turn[second, first], turn[second, second] = sine, cosine
    row, column, normal = turn.T
    return _turned(name, (*row, *column), tuple(SLICE_MM * normal), *flags)


def _shuffled_names(folder: Path) -> None:
    slices = chest()
    order = np.random.default_rng(1).permutation(len(slices))
    for number, dataset in zip(order, slices, strict=True):
        dataset.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def _nested(folder: Path) -> None:
    slices = chest()
    save(slices[0::3], folder / "DICOM" / "ST0" / "SE0")
    save(slices[1::3], folder / "DICOM" / "ST0" / "SE0" / "more")
    save(slices[2::3], folder / "copy of 1")


def _own_rescale() -> list[Dataset]:
    slices = chest()
    for index in range(1, len(slices), 2):
        place = slices[index].ImagePositionPatient
        slices[index] = ct_slice(place, slope=0.5, intercept=-1000 - index)
        slices[index].InstanceNumber = index
    return slices


def _stated_wrongly() -> list[Dataset]:
    """Tags that speak of place and spacing beside the two that decide, and contradict them."""
    slices = chest()
    for number, dataset in enumerate(slices):
        dataset.SliceLocation = -7 * number
        dataset.SpacingBetweenSlices = -1.5
        dataset.PatientPosition = "FFP"
        dataset.ContentTime = f"1200{59 - number:02d}"
    return slices


def _rounded() -> list[Dataset]:
    """Positions written with one decimal, as some exports do, 0.625 mm apart."""
    slices = chest(step=(0, 0, 0.625))
    for dataset in slices:
        dataset.ImagePositionPatient = [round(float(v), 1) for v in dataset.ImagePositionPatient]
    return slices


OPTIONAL = (
    "InstanceNumber SliceThickness SeriesDescription ImageType FrameOfReferenceUID PatientName "
    "HighBit"
)


def _without_optional_tags() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        for keyword in OPTIONAL.split():
            delattr(dataset, keyword)
    return slices


def _raw_names(folder: Path) -> None:
    """Names in bytes that their stated character set does not have."""
    save(with_tags(chest(), SpecificCharacterSet="ISO_IR 100"), folder)
    declared = [b"ISO_IR 100", b"ISO_IR 999", b"ISO_IR 192", b"GB18030   "]
    for number, file in enumerate(sorted(folder.iterdir())):
        content = file.read_bytes().replace(b"Doe^Jane", "山田^".encode() + b"\xff")
        file.write_bytes(content.replace(b"ISO_IR 100", declared[number % 4].ljust(10)))


def _padded(value: int, limit: int | None = None) -> list[Dataset]:
    """Padding is stated and does not occur: the values of the ramp stay apart from it."""
    slices = chest()
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "US", value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    return slices


def _doubled(folder: Path) -> None:
    slices = chest()
    save(slices, folder)
    save(slices[3:6], folder / "again")
    renamed = with_tags(chest()[7:8], SOPInstanceUID="1.2.3.4.5.6")
    save(renamed, folder / "sent twice")


def _with_localizer() -> list[Dataset]:
    scout = with_tags(
        [ct_slice((0, 0, 0), (0, 1, 0, 0, 0, -1)), ct_slice((0, 0, 90), (1, 0, 0, 0, 0, -1))],
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    return [*scout, *chest()]


def _with_small_series(folder: Path) -> None:
    save(chest(), folder)
    small = with_tags(chest(4), SeriesInstanceUID="1.2.0", SliceThickness=1)
    save(small, folder / "b")


def _with_junk(folder: Path) -> None:
    dated = with_tags(chest(), StudyDate="20260101", StudyTime="120000", StudyID="1")
    save(with_tags(dated, SeriesNumber=1), folder / "IMAGES")
    files = FileSet()
    for file in sorted((folder / "IMAGES").iterdir()):
        files.add(file)
    files.write(folder / "cd")
    shutil.move(folder / "cd" / "DICOMDIR", folder / "DICOMDIR")
    shutil.rmtree(folder / "cd")
    (folder / "autorun.inf").write_text("[autorun]")
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(4000))
    (folder / "IMAGES" / "Thumbs.db").write_bytes(bytes(600))
    (folder / "IMAGES" / "._001").write_bytes(bytes(4096))
    (folder / "empty").write_bytes(b"")
    report = Dataset()
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = uid.BasicTextSRStorage
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "1.2.77"
    report.StudyInstanceUID, report.SeriesInstanceUID = "1.2.826.0.1.1", "1.2.78"
    report.PatientID, report.Modality = "SECRET-7", "SR"
    report.save_as(folder / "report", enforce_file_format=True)


def _with_private_parts() -> list[Dataset]:
    """Private elements, an overlay, and sequences of undefined length before the pixels."""
    slices = chest()
    for dataset in slices:
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", bytes(range(256)))
        item = Dataset()
        item.CodeValue, item.ImagePositionPatient = "T-D3000", [9, 9, 9]
        dataset.AnatomicRegionSequence = Items([item])
        dataset["AnatomicRegionSequence"].is_undefined_length = True
        dataset.add_new(0x60003000, "OW", bytes(240))
    return slices


def _syntax(syntax: uid.UID, prepare: Callable[[], list[Dataset]] = chest) -> list[Dataset]:
    slices = prepare()
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
    return slices


def _in_32_bits() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        values = np.frombuffer(dataset.PixelData, np.uint16).astype("<u4")
        dataset.PixelData = values.tobytes()
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    return slices


LOSSLESS = encode.lossless_chest
READABLE = (
    Readable("shuffled names", _shuffled_names),
    Readable("InstanceNumber reversed", _of(chest)),
    Readable("InstanceNumber all zero", _of(lambda: with_tags(chest(), InstanceNumber=0))),
    Readable("no extensions, nested folders", _nested),
    Readable("tags that contradict the positions", _of(_stated_wrongly)),
    _turned("prone", (-1, 0, 0, 0, -1, 0), (0, 0, 3)),
    _turned("negated row cosine", (-1, 0, 0, 0, 1, 0), (0, 0, 3)),
    _turned("negated column cosine", (1, 0, 0, 0, -1, 0), (0, 0, 3)),
    _turned("rows and columns exchanged", (0, 1, 0, 1, 0, 0), (0, 0, 3)),
    _turned("sagittal", (0, 1, 0, 0, 0, -1), (3, 0, 0), "turned_to_axial"),
    _turned("coronal", (1, 0, 0, 0, 0, -1), (0, 3, 0), "turned_to_axial"),
    _rotated("oblique by 3 degrees", 0, 3),
    _rotated("oblique by 20 degrees", 0, 20, "oblique"),
    _rotated("turned by 15 degrees in the plane", 2, 15, "oblique"),
    Readable("a rescale for each slice", _of(_own_rescale)),
    Readable("fractional slope", _of(lambda: chest(slope=0.25))),
    Readable("JPEG 2000", _of(lambda: encode.packed(LOSSLESS(), uid.JPEG2000Lossless))),
    Readable(
        "JPEG 2000, wrong sign", _of(lambda: encode.wrong_sign(chest(signed=True, intercept=0)))
    ),
    Readable("JPEG-LS", _of(lambda: encode.packed(LOSSLESS(), uid.JPEGLSLossless))),
    Readable(
        "JPEG-LS, near-lossless",
        _of(lambda: encode.packed(LOSSLESS(), uid.JPEGLSNearLossless, jls_error=2)),
        ("lossy_compression",),
        2.51,
    ),
    Readable("JPEG Lossless (14)", lambda f: encode.save_with_gdcm(LOSSLESS(), f, 10)),
    Readable("JPEG Lossless SV1", lambda f: encode.save_with_gdcm(LOSSLESS(), f, 11)),
    Readable("RLE", _of(lambda: encode.packed(chest(), uid.RLELossless))),
    Readable("HTJ2K", _of(lambda: encode.high_throughput(chest()))),
    Readable("deflated", _of(lambda: _syntax(uid.DeflatedExplicitVRLittleEndian))),
    Readable("implicit VR", _of(lambda: _syntax(uid.ImplicitVRLittleEndian))),
    Readable("implicit VR, bare", lambda f: encode.save_bare(chest(), f)),
    Readable(
        "big endian",
        _of(lambda: _syntax(uid.ExplicitVRBigEndian, lambda: encode.big_endian(chest()))),
    ),
    Readable("Enhanced multi-frame", _of(lambda: [encode.enhanced(_own_rescale()[::-1])])),
    Readable("Enhanced, frames shuffled", _of(lambda: [encode.enhanced(encode.shuffled(chest()))])),
    Readable(
        "Enhanced, JPEG 2000",
        _of(lambda: encode.packed([encode.enhanced(chest())], uid.JPEG2000Lossless)),
    ),
    Readable(
        "Enhanced, deflated",
        _of(
            lambda: _syntax(uid.DeflatedExplicitVRLittleEndian, lambda: [encode.enhanced(chest())])
        ),
    ),
    Readable("Enhanced in two parts", _of(lambda: encode.parts(chest()))),
    Readable("duplicates", _doubled, ("duplicates_dropped",)),
    Readable("localizer inside the series", _of(_with_localizer), ("localizers_left_out",)),
    Readable("second small series", _with_small_series),
    Readable("junk and DICOMDIR beside", _with_junk),
    Readable("private elements and overlays", _of(_with_private_parts)),
    Readable("signed 16 bit", _of(lambda: chest(signed=True, intercept=0))),
    Readable("signed 12 bit", _of(lambda: encode.stored_as(chest(signed=True, intercept=0), 12))),
    Readable("unsigned 12 bit", _of(lambda: encode.stored_as(chest(), 12))),
    Readable("12 bit, left-aligned", _of(lambda: encode.left_aligned(chest()))),
    Readable("32 bit", _of(_in_32_bits)),
    Readable("8 bit", _of(lambda: encode.in_eight_bits(chest())), tolerance_hu=2.51),
    Readable("padding value", _of(lambda: _padded(63536))),
    Readable("padding range", _of(lambda: _padded(63500, 63600))),
    Readable(
        "monochrome1", _of(lambda: with_tags(chest(), PhotometricInterpretation="MONOCHROME1"))
    ),
    Readable("odd character sets", _raw_names),
    Readable("missing optional tags", _of(_without_optional_tags)),
    Readable("positions with one decimal", _of(_rounded), tolerance_hu=0.86, step=(0, 0, 0.625)),
    Readable("overlapping slices", _of(lambda: with_tags(chest(), SliceThickness=5))),
)
"""Non-square pixels (2 x 1 mm) are in every one of them."""
