"""DICOM series that nobody can read right: each must be refused, with its fault named."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encodings_of_ct as encode
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from ramp_ct import ORIGIN, chest, ct_slice, save, with_tags

from deeppneumonia import readers
from deeppneumonia.errors import StudyError


@dataclass(frozen=True, slots=True)
class Refusable:
    """One series with a fault."""

    name: str
    write: Callable[[Path], object]
    error: type[StudyError]
    says: str
    """Regular expression of what the message must hold."""


def _of(slices: Callable[[], list[Dataset]]) -> Callable[[Path], object]:
    return lambda folder: save(slices(), folder)


def _tagged(**values: Any) -> Callable[[Path], object]:
    """The same values in every header; a tag given as None is missing."""

    def slices() -> list[Dataset]:
        datasets = chest()
        for dataset in datasets:
            for keyword, value in values.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)
        return datasets

    return _of(slices)


def _tilted(angle_deg: float) -> list[Dataset]:
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return chest(orientation=(1, 0, 0, 0, cosine, sine))


def _without(*missing: int) -> list[Dataset]:
    return [dataset for index, dataset in enumerate(chest()) if index not in missing]


def _at(*heights: float) -> list[Dataset]:
    return [ct_slice((*ORIGIN[:2], height)) for height in heights]


def _two_patients() -> list[Dataset]:
    return [*chest(6), *with_tags(chest()[6:], PatientID="SECRET-8")]


def _two_acquisitions(**second: Any) -> Callable[[Path], object]:
    """Two scans of the same region in one series: the second 40 HU denser (contrast)."""

    def slices() -> list[Dataset]:
        return [
            *with_tags(chest(), AcquisitionNumber=1),
            *with_tags(chest(intercept=-1064), RescaleIntercept=-1024, **second),
        ]

    return _of(slices)


def _other_frame() -> list[Dataset]:
    """The upper half was scanned after the patient had been moved: its origin is another."""
    return [*chest(6), *with_tags(chest()[6:], FrameOfReferenceUID="1.2.3.4")]


def _raw_tag(folder: Path, old: bytes, new: bytes) -> None:
    """Bytes that no encoder would write, of the same length."""
    save(chest(), folder)
    for file in folder.iterdir():
        content = file.read_bytes()
        assert old in content and len(old) == len(new)
        file.write_bytes(content.replace(old, new))


def _in_colour() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        grey = np.frombuffer(dataset.PixelData, np.uint16).astype(np.uint8)
        dataset.PixelData = np.repeat(grey, 3).tobytes()
        dataset["PixelData"].VR = "OB"
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration = 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    return slices


def _secondary_capture() -> list[Dataset]:
    """A screen shot in the CT series' clothes: no place, no rescale, colours."""
    slices = _in_colour()
    for dataset in slices:
        dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
        del dataset.RescaleSlope, dataset.RescaleIntercept
    return slices


def _without_functional_groups() -> list[Dataset]:
    whole = encode.enhanced(chest())
    del whole.PerFrameFunctionalGroupsSequence
    return [whole]


def _fewer_groups_than_frames() -> list[Dataset]:
    whole = encode.enhanced(chest())
    whole.PerFrameFunctionalGroupsSequence = whole.PerFrameFunctionalGroupsSequence[:-1]
    return [whole]


def _two_time_points() -> list[Dataset]:
    """Perfusion: each place twice in one Enhanced image, the second time denser."""
    later = with_tags(chest(intercept=-1064), RescaleIntercept=-1024)
    return [encode.enhanced([*chest(), *later])]


def _of_no_decoder() -> list[Dataset]:
    """JPEG Extended with 12 bits, for which only a decoder under the GPL exists."""
    slices = chest()
    for dataset in slices:
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xc1" + bytes(100) + b"\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.file_meta.TransferSyntaxUID = uid.JPEGExtended12Bit
    return slices


def _cut_short() -> list[Dataset]:
    slices = chest()
    for dataset in slices:
        dataset.PixelData = dataset.PixelData[:-1000]
    return slices


REFUSABLE = (
    Refusable(
        "gantry tilt",
        _of(lambda: _tilted(12)),
        readers.GantryTiltError,
        "12.0 degrees off their normal",
    ),
    Refusable("slight tilt", _of(lambda: _tilted(-2)), readers.GantryTiltError, "2.0 degrees"),
    Refusable(
        "a gap",
        _of(lambda: _without(4)),
        readers.MissingSlicesError,
        "a gap of 6.0 mm after slice 3 .* every 3.0 mm",
    ),
    Refusable("two gaps", _of(lambda: _without(2, 7)), readers.MissingSlicesError, "2 gaps"),
    Refusable(
        "variable spacing",
        _of(lambda: _at(0, 1, 3, 4, 6, 7.5, 9, 10)),
        readers.VariableSpacingError,
        "varies from 1.00 to 2.00 mm",
    ),
    Refusable(
        "two acquisitions",
        _two_acquisitions(AcquisitionNumber=2),
        readers.MixedSeriesError,
        "2 acquisitions of the same region, with 12 and 12 slices",
    ),
    Refusable(
        "two acquisitions, not numbered",
        _two_acquisitions(AcquisitionNumber=1),
        readers.MixedSeriesError,
        "Two different slices lie in the same place",
    ),
    Refusable("mixed patients", _of(_two_patients), readers.MixedPatientsError, "2 different"),
    Refusable(
        "patient moved within the series",
        _of(_other_frame),
        readers.MixedSeriesError,
        "2 frames of reference",
    ),
    Refusable(
        "missing slope", _tagged(RescaleSlope=None), readers.MissingRescaleError, "0028,1053"
    ),
    Refusable(
        "missing intercept",
        _tagged(RescaleIntercept=None),
        readers.MissingRescaleError,
        "0028,1052",
    ),
    Refusable("slope 0", _tagged(RescaleSlope=0), readers.MissingRescaleError, "Slope 0"),
    Refusable(
        "intercept 1e300",
        _tagged(RescaleIntercept="1e300"),
        readers.MissingRescaleError,
        "Intercept 1e\\+300",
    ),
    Refusable(
        "iodine map", _tagged(RescaleType="MGML"), readers.MissingRescaleError, "Rescale Type MGML"
    ),
    Refusable("MR", _tagged(Modality="MR"), readers.WrongModalityError, "holds MR and no CT"),
    Refusable("X-ray", _tagged(Modality="DX"), readers.WrongModalityError, "holds DX and no CT"),
    Refusable(
        "secondary capture",
        _tagged(Modality="OT"),
        readers.WrongModalityError,
        "holds OT and no CT",
    ),
    Refusable("RGB", _of(_in_colour), StudyError, "holds colours"),
    Refusable(
        "RGB secondary capture, called CT", _of(_secondary_capture), StudyError, "screen capture"
    ),
    Refusable("no position", _tagged(ImagePositionPatient=None), StudyError, "lack Image Position"),
    Refusable(
        "no orientation", _tagged(ImageOrientationPatient=None), StudyError, "Image Orientation"
    ),
    Refusable("no pixel spacing", _tagged(PixelSpacing=None), StudyError, "Pixel Spacing"),
    Refusable(
        "zero cosines",
        _tagged(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
        StudyError,
        "unit vectors at right angles",
    ),
    Refusable(
        "spacing that is no number",
        lambda folder: _raw_tag(folder, b"2.0\\1.0", b"NaN\\NaN"),
        StudyError,
        "Pixel Spacing",
    ),
    Refusable("spacing 0", _tagged(PixelSpacing=[0, 0]), StudyError, "no length"),
    Refusable(
        "localizers alone",
        _tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        readers.NoStudyError,
        "only localizers",
    ),
    Refusable(
        "multi-frame without functional groups",
        _of(_without_functional_groups),
        StudyError,
        "lack Image Position",
    ),
    Refusable(
        "fewer functional groups than frames",
        _of(_fewer_groups_than_frames),
        StudyError,
        "damaged header",
    ),
    Refusable("pixels cut short", _of(_cut_short), StudyError, "pixel data .* damaged"),
    Refusable(
        "Enhanced, two time points",
        _of(_two_time_points),
        readers.MixedSeriesError,
        "Two different slices lie in the same place",
    ),
    Refusable("no decoder", _of(_of_no_decoder), StudyError, "JPEG Extended"),
    Refusable("12 bits allocated", _tagged(BitsAllocated=12), StudyError, "12 bits a pixel"),
    Refusable("negative slope", _tagged(RescaleSlope=-1), readers.MissingRescaleError, "Slope -1"),
)
