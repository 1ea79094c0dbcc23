"""What the header of one DICOM slice says, as far as reading it right depends on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.elements import (
    TAGS,
    Elements,
    integer_of,
    number_of,
    numbers_of,
    text_of,
    words_of,
)
from deeppneumonia.readers.limits import check_voxels
from deeppneumonia.readers.skim import skim


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """How stored values lie in the pixel data (PS3.3 C.7.6.3)."""

    samples: int = 1
    photometric: str = "MONOCHROME2"
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    signed: bool = False
    padding: tuple[int, int] | None = None
    """Smallest and largest stored value that stands for no image (PS3.3 C.7.5.1.1.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """One slice: a classic DICOM image, or one frame of a multi-frame image."""

    file: Path
    frame: int = 0
    frames: int = 1
    """Frames in the file."""

    transfer_syntax: str = ""
    patient: str = ""
    """Hash of the patient's identity; equal for equal patients, and of no other use."""

    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    acquisition: str = ""
    frame_of_reference: str = ""
    """Frame of Reference UID: positions of one are in one system of coordinates."""

    position: tuple[float, ...] = ()
    """Image Position (Patient), three values in mm; empty when missing."""

    orientation: tuple[float, ...] = ()
    """Image Orientation (Patient), six cosines; empty when missing."""

    pixel_spacing_mm: tuple[float, ...] = ()
    """Between rows, then between columns; empty when missing."""

    rows: int = 0
    columns: int = 0
    thickness_mm: float | None = None
    """Slice Thickness; None when missing or no length."""

    slope: float | None = None
    intercept: float | None = None
    rescale_type: str = ""
    window_center_hu: float | None = None
    kernel: str = ""
    tilt_tag_deg: float = 0.0
    lossy: bool = False
    says_text: bool = False
    """Burned In Annotation says YES: the pixels name the patient (PS3.3 C.7.6.1.1)."""

    pixels: PixelFormat = PixelFormat()

    @property
    def is_localizer(self) -> bool:
        return "LOCALIZER" in self.image_type

    @property
    def is_placed(self) -> bool:
        """Whether the header says where in the patient the slice lies."""
        return len(self.position) == 3 and len(self.orientation) == 6


def read_headers(file: Path) -> tuple[SliceHeader, ...]:
    """The slices of one DICOM file: one, or as many as a multi-frame image has frames.

    What is not a CT image (a report, a segmentation) gives one header.

    Raises:
        StudyError: the file starts like DICOM, and its header cannot be read.
    """
    try:
        dataset = skim(file) or pydicom.dcmread(
            file, stop_before_pixels=True, specific_tags=list(TAGS.values()), force=True
        )
        header = _top_level(dataset, file)
        if not header.series_uid and not header.rows and not _is_directory(dataset):
            raise unreadable()
        if header.modality != "CT" or not (header.rows and header.columns):
            return (header,)
        count = int(number_of(dataset, "NumberOfFrames") or 1)
        check_voxels(count, header.rows, header.columns)
        if isinstance(dataset, Dataset) and "PerFrameFunctionalGroupsSequence" in dataset:
            return tuple(_frames(dataset, replace(header, frames=count)))
        # A multi-frame image without functional groups does not say where its frames lie.
        return (header,) if count == 1 else (replace(header, frames=count, position=()),) * count
    except (StudyError, MemoryError, RecursionError):  # limits are named by the reading process
        raise
    # pydicom lets errors of every kind through for damaged files; each means the same to us.
    except Exception as error:
        raise unreadable() from error


def _is_directory(dataset: Elements) -> bool:
    """Whether this is a DICOMDIR, the list of contents of a CD, which belongs to no series."""
    return _of_file(dataset, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def _of_file(dataset: Elements, keyword: str) -> str:
    """An element of the file meta information (group 2) as text; empty when missing."""
    return str(getattr(dataset, "file_meta", {}).get(keyword, ""))


def unreadable() -> StudyError:
    """What every fault in a header means to whoever gave the file."""
    return StudyError(
        "A DICOM file has a damaged header, where every file of a study must be readable: "
        "export or copy the study again."
    )


def _top_level(dataset: Elements, file: Path) -> SliceHeader:
    modality = text_of(dataset, "Modality").upper()
    return SliceHeader(
        file=file,
        transfer_syntax=_of_file(dataset, "TransferSyntaxUID"),
        patient=patient_hash(dataset),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        sop_uid=text_of(dataset, "SOPInstanceUID"),
        modality=modality,
        image_type=words_of(text_of(dataset, "ImageType")),
        acquisition=text_of(dataset, "AcquisitionNumber"),
        frame_of_reference=text_of(dataset, "FrameOfReferenceUID"),
        position=numbers_of(dataset, "ImagePositionPatient", 3),
        orientation=numbers_of(dataset, "ImageOrientationPatient", 6),
        pixel_spacing_mm=numbers_of(dataset, "PixelSpacing", 2),
        rows=integer_of(dataset, "Rows") or 0,
        columns=integer_of(dataset, "Columns") or 0,
        thickness_mm=_thickness_mm(dataset),
        slope=number_of(dataset, "RescaleSlope"),
        intercept=number_of(dataset, "RescaleIntercept"),
        rescale_type=text_of(dataset, "RescaleType").upper(),
        window_center_hu=number_of(dataset, "WindowCenter"),
        kernel=text_of(dataset, "ConvolutionKernel"),
        tilt_tag_deg=number_of(dataset, "GantryDetectorTilt") or 0.0,
        lossy=text_of(dataset, "LossyImageCompression") == "01",
        says_text=text_of(dataset, "BurnedInAnnotation").upper() == "YES",
        pixels=_pixel_format(dataset),
    )


def _thickness_mm(dataset: Elements) -> float | None:
    thickness = number_of(dataset, "SliceThickness")
    return thickness if thickness and thickness > 0 else None


def _pixel_format(dataset: Elements) -> PixelFormat:
    allocated = integer_of(dataset, "BitsAllocated") or 16
    stored = integer_of(dataset, "BitsStored") or allocated
    high_bit = integer_of(dataset, "HighBit")
    signed = integer_of(dataset, "PixelRepresentation") == 1
    low = integer_of(dataset, "PixelPaddingValue", signed=signed)
    limit = integer_of(dataset, "PixelPaddingRangeLimit", signed=signed)
    padding = None
    if low is not None:
        ends = (low, low if limit is None else limit)
        padding = (min(ends), max(ends))
    return PixelFormat(
        samples=integer_of(dataset, "SamplesPerPixel") or 1,
        photometric=text_of(dataset, "PhotometricInterpretation").upper(),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=signed,
        padding=padding,
    )


def _frames(dataset: Dataset, whole: SliceHeader) -> Iterator[SliceHeader]:
    """One header a frame: the frame's own functional groups before the shared ones before all."""
    shared = (
        [_flat(item) for item in dataset[TAGS["SharedFunctionalGroupsSequence"]].value or []]
        if "SharedFunctionalGroupsSequence" in dataset
        else []
    )
    per_frame = dataset[TAGS["PerFrameFunctionalGroupsSequence"]].value
    if len(per_frame) != whole.frames:
        raise unreadable()
    for index, item in enumerate(per_frame):
        found = Dataset()
        for group in [*shared, _flat(item)]:
            found.update(group)
        yield _frame(found, whole, index)


def _frame(found: Dataset, whole: SliceHeader, index: int) -> SliceHeader:
    frame_type = words_of(text_of(found, "FrameType"))
    return replace(
        whole,
        frame=index,
        image_type=frame_type or whole.image_type,
        acquisition=text_of(found, "FrameAcquisitionNumber") or whole.acquisition,
        position=numbers_of(found, "ImagePositionPatient", 3) or whole.position,
        orientation=numbers_of(found, "ImageOrientationPatient", 6) or whole.orientation,
        pixel_spacing_mm=numbers_of(found, "PixelSpacing", 2) or whole.pixel_spacing_mm,
        thickness_mm=_thickness_mm(found) or whole.thickness_mm,
        slope=_either(number_of(found, "RescaleSlope"), whole.slope),
        intercept=_either(number_of(found, "RescaleIntercept"), whole.intercept),
        rescale_type=text_of(found, "RescaleType").upper() or whole.rescale_type,
        window_center_hu=_either(number_of(found, "WindowCenter"), whole.window_center_hu),
        kernel=text_of(found, "ConvolutionKernel") or whole.kernel,
    )


def _either(first: float | None, second: float | None) -> float | None:
    return second if first is None else first


def _flat(functional_groups: Dataset) -> Dataset:
    """The elements of all functional groups side by side; their names do not collide."""
    flat = Dataset()
    wanted = set(TAGS.values())
    for group in functional_groups:
        for item in group.value if group.VR == "SQ" else ():
            flat.update({tag: item.get_item(tag) for tag in set(item.keys()) & wanted})
    return flat


def patient_hash(dataset: Elements) -> str:
    """By Patient ID; by name and birth date where there is none."""
    identity = text_of(dataset, "PatientID") or "\\".join(
        ("", text_of(dataset, "PatientName"), text_of(dataset, "PatientBirthDate"))
    )
    return hashlib.sha256(identity.encode()).hexdigest()
