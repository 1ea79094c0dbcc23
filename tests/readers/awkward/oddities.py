"""What scanners, archives and exports do to a series that leaves it sound: its files, odd ways."""

import shutil
from collections.abc import Callable
from pathlib import Path

import encodings_of_ct as encode
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as Items
from ramp_ct import chest, ct_slice, save, with_tags


def shuffled_names(folder: Path) -> None:
    slices = chest()
    order = np.random.default_rng(1).permutation(len(slices))
    for number, dataset in zip(order, slices, strict=True):
        dataset.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def nested(folder: Path) -> None:
    slices = chest()
    save(slices[0::3], folder / "DICOM" / "ST0" / "SE0")
    save(slices[1::3], folder / "DICOM" / "ST0" / "SE0" / "more")
    save(slices[2::3], folder / "copy of 1")


def own_rescale() -> list[Dataset]:
    slices = chest()
    for index in range(1, len(slices), 2):
        place = slices[index].ImagePositionPatient
        slices[index] = ct_slice(place, slope=0.5, intercept=-1000 - index)
        slices[index].InstanceNumber = index
    return slices


def stated_wrongly() -> list[Dataset]:
    """Tags that speak of place and spacing beside the two that decide, and contradict them."""
    slices = chest()
    for number, dataset in enumerate(slices):
        dataset.SliceLocation = -7 * number
        dataset.SpacingBetweenSlices = -1.5
        dataset.PatientPosition = "FFP"
        dataset.ContentTime = f"1200{59 - number:02d}"
    return slices


def rounded() -> list[Dataset]:
    """Positions written with one decimal, as some exports do, 0.625 mm apart."""
    slices = chest(step=(0, 0, 0.625))
    for dataset in slices:
        dataset.ImagePositionPatient = [round(float(v), 1) for v in dataset.ImagePositionPatient]
    return slices


OPTIONAL = (
    "InstanceNumber SliceThickness SeriesDescription ImageType FrameOfReferenceUID PatientName "
    "HighBit"
)


def without_optional_tags() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        for keyword in OPTIONAL.split():
            delattr(dataset, keyword)
    return slices


def raw_names(folder: Path) -> None:
    """Names in bytes that their stated character set does not have."""
    save(with_tags(chest(), SpecificCharacterSet="ISO_IR 100"), folder)
    declared = [b"ISO_IR 100", b"ISO_IR 999", b"ISO_IR 192", b"GB18030   "]
    for number, file in enumerate(sorted(folder.iterdir())):
        content = file.read_bytes().replace(b"Doe^Jane", "山田^".encode() + b"\xff")
        file.write_bytes(content.replace(b"ISO_IR 100", declared[number % 4].ljust(10)))


def padded(value: int, limit: int | None = None) -> list[Dataset]:
    """Padding is stated and does not occur: the values of the ramp stay apart from it."""
    slices = chest()
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "US", value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    return slices


def doubled(folder: Path) -> None:
    slices = chest()
    save(slices, folder)
    save(slices[3:6], folder / "again")
    renamed = with_tags(chest()[7:8], SOPInstanceUID="1.2.3.4.5.6")
    save(renamed, folder / "sent twice")


def with_localizer() -> list[Dataset]:
    scout = with_tags(
        [ct_slice((0, 0, 0), (0, 1, 0, 0, 0, -1)), ct_slice((0, 0, 90), (1, 0, 0, 0, 0, -1))],
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    return [*scout, *chest()]


def with_small_series(folder: Path) -> None:
    save(chest(), folder)
    small = with_tags(chest(4), SeriesInstanceUID="1.2.0", SliceThickness=1)
    save(small, folder / "b")


def with_junk(folder: Path) -> None:
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


def with_private_parts() -> list[Dataset]:
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


def in_syntax(syntax: uid.UID, prepare: Callable[[], list[Dataset]] = chest) -> list[Dataset]:
    slices = prepare()
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
    return slices


def in_32_bits() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        values = np.frombuffer(dataset.PixelData, np.uint16).astype("<u4")
        dataset.PixelData = values.tobytes()
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    return slices


def mixed_syntaxes() -> list[Dataset]:
    """Slices that an archive has packed one by one, each in another way."""
    slices = chest()
    for index, syntax in enumerate((uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless)):
        encode.packed(slices[index::4], syntax)
    return slices


def of_unknown_vr() -> list[Dataset]:
    """Elements that an archive did not know and wrote as UN."""
    slices = chest()
    for dataset in slices:
        for keyword in ("RescaleSlope", "RescaleIntercept", "PixelSpacing", "SliceThickness"):
            value = dataset[keyword].value
            parts = value if keyword == "PixelSpacing" else [value]
            text = "\\".join(str(part) for part in parts)
            tag = dataset[keyword].tag
            del dataset[keyword]
            dataset.add_new(tag, "UN", (text + " " * (len(text) % 2)).encode())
    return slices
