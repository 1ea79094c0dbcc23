"""Single values out of a DICOM header, whatever its vendor made of the standard.

Values are taken from the raw elements: an invalid UID or an overlong number then neither stops
the reading nor gets into a warning, with a patient's data in it. Tags: DICOM PS3.6.
"""

import math
from typing import Any, Protocol

from pydicom.datadict import tag_for_keyword

KEYWORDS = """
    ImageType SOPInstanceUID Modality SliceThickness ConvolutionKernel GantryDetectorTilt
    PatientID PatientName PatientBirthDate StudyInstanceUID SeriesInstanceUID AcquisitionNumber
    ImagePositionPatient ImageOrientationPatient PixelSpacing Rows Columns NumberOfFrames
    SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation
    PixelPaddingValue PixelPaddingRangeLimit RescaleIntercept RescaleSlope RescaleType WindowCenter
    LossyImageCompression SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    FrameType FrameAcquisitionNumber FrameOfReferenceUID BurnedInAnnotation
"""
TAGS = {keyword: tag_for_keyword(keyword) or 0 for keyword in KEYWORDS.split()}


class Elements(Protocol):
    """What is asked of a header: a pydicom Dataset, or what was skimmed off a file."""

    def __contains__(self, tag: Any, /) -> bool: ...

    def get_item(self, tag: Any, /) -> Any: ...


def text_of(dataset: Elements, keyword: str) -> str:
    """A value as text, its parts joined by backslashes; empty when missing."""
    tag = TAGS.get(keyword) or tag_for_keyword(keyword) or 0
    value: Any = dataset.get_item(tag).value if tag in dataset else None
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip(" \0")


def words_of(text: str) -> tuple[str, ...]:
    """The parts of a code string, in capitals."""
    return tuple(word.strip().upper() for word in text.split("\\")) if text else ()


def numbers_of(dataset: Elements, keyword: str, count: int) -> tuple[float, ...]:
    """All values of a decimal string; empty unless they are exactly `count` finite numbers."""
    try:
        values = tuple(float(part) for part in text_of(dataset, keyword).split("\\"))
    except ValueError:
        return ()
    return values if len(values) == count and all(map(math.isfinite, values)) else ()


def number_of(dataset: Elements, keyword: str) -> float | None:
    """The first value of a decimal or integer string; None when it is missing or no number."""
    try:
        value = float(text_of(dataset, keyword).split("\\")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def integer_of(dataset: Elements, keyword: str, *, signed: bool = False) -> int | None:
    """A binary value (US or SS), read with the given sign whatever VR the file claims."""
    tag = TAGS[keyword]
    if tag not in dataset:
        return None
    element: Any = dataset.get_item(tag)
    value = element.value
    if isinstance(value, bytes):
        little = getattr(element, "is_little_endian", True)
        return (
            int.from_bytes(value, "little" if little else "big", signed=signed) if value else None
        )
    if value is None or value == "":
        return None
    number = int(value)
    return number - 65536 if signed and number > 32767 else number
