"""Words that a file's header says about its making: picture format, JPEG tables, DICOM tags.

Nothing here names a person: of DICOM, only the tags in SCANNER_TAGS are read.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from deeppneumonia.domain.study import SourceKind
from deeppneumonia.readers import read_tags

Words = Mapping[str, str]
"""Values by name, as text."""

SCANNER_TAGS = (
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "FilterType",
    "KVP", "XRayTubeCurrent", "Exposure", "ExposureTime", "SpiralPitchFactor", "RotationDirection",
    "SliceThickness", "PixelSpacing", "ReconstructionDiameter", "DataCollectionDiameter",
    "GantryDetectorTilt", "PatientPosition", "BodyPartExamined", "ImageType", "WindowCenter",
    "WindowWidth", "RescaleIntercept", "RescaleSlope", "BitsStored", "PixelRepresentation",
    "PixelPaddingValue", "LossyImageCompression", "ContrastBolusAgent",
)  # fmt: skip

LONGEST_WORD = 64
"""A longer value is cut: no honest one is."""


def format_of(file: Path, kind: SourceKind) -> Words:
    """Form, and for a picture its colour mode, compression tables and what else its header has."""
    words = {"form": kind.value}
    if kind is not SourceKind.PICTURES:
        return words | {"ending": "".join(file.suffixes[-2:]).lower()}
    try:
        with Image.open(file) as picture:
            words |= {"form": picture.format or "", "mode": picture.mode}
            words["header entries"] = " ".join(sorted(str(key) for key in picture.info))
            if isinstance(picture, JpegImagePlugin.JpegImageFile):
                words["JPEG tables"] = _jpeg_tables(picture.quantization)
                words["chroma sampling"] = str(JpegImagePlugin.get_sampling(picture))
    except (UnidentifiedImageError, OSError, SyntaxError):  # what Pillow raises for damaged headers
        words["form"] = "unknown"
    return words


def _jpeg_tables(tables: Mapping[int, list[int]]) -> str:
    """How coarse the quantisation is, and a hash that tells two sets of tables apart."""
    steps = [step for _, table in sorted(tables.items()) for step in table]
    digest = hashlib.sha256(repr(steps).encode()).hexdigest()[:6]
    mean = sum(steps) / max(len(steps), 1)
    return f"{len(tables)} tables, mean step {mean:.1f} ({digest})"


def tags_of(file: Path) -> Words:
    """The SCANNER_TAGS of one DICOM file, and its transfer syntax; blank where missing."""
    (found,) = read_tags([file], [*SCANNER_TAGS, "TransferSyntaxUID"])
    return {keyword: _plain(word) for keyword, word in (found or {}).items()}


def _plain(word: str) -> str:
    """A value that can stand on a page: short, and a hash in place of bytes that are no text."""
    if word.isprintable():
        return word[:LONGEST_WORD]
    return f"not text ({hashlib.sha256(word.encode(errors='replace')).hexdigest()[:6]})"
