"""The series that an answer speaks of: its headers, and where each slice lies in the patient."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.charset import convert_encodings
from pydicom.config import RAISE
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from deeppneumonia.domain import Box, ModelIdentity, Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.reports.document import ReportContext

LONGEST_VALUE = 65536
"""Bytes of a header's value; names and numbers have a hundred."""

MANUFACTURER = "DeepPneumonia"
NEEDED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What every object of a study must have, were it empty (type 2)."""

IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
"""By what an object refers to its source (PS3.3 10.8)."""

PATIENT_GROUP = 0x0010
"""All of it goes from the source into our objects."""

PATIENT_SEXES = ("", "M", "F", "O")
"""PS3.3 C.7.1.1."""

UTF_8, LATIN_1 = "ISO_IR 192", "ISO_IR 100"
TEXT_VRS = {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
"""Value representations whose characters depend on the character set (PS3.5 6.1.2.2)."""


class SourceChangedError(StudyError):
    """The files of a study are not those of the study that was read."""

    def __init__(self) -> None:
        super().__init__(
            "The files of the study changed while it was being diagnosed and now hold another "
            "series: nothing was written; diagnose it again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A DICOM series that was read, as far as objects about it have to know."""

    headers: tuple[Dataset, ...]
    """Without pixels, from feet to head; one only for a multi-frame file."""

    placed: Volume | None
    """None for a study that could not be read: its refusal speaks of no place."""

    model: ModelIdentity
    version: str
    created: datetime

    @property
    def volume(self) -> Volume:
        """The volume that an answer speaks of."""
        assert self.placed is not None
        return self.placed

    @property
    def frame_of_reference(self) -> str | None:
        """Empty sources exist; without it nothing can be placed in the patient."""
        return str(self.headers[0].get("FrameOfReferenceUID", "")) or None

    @property
    def is_identified(self) -> bool:
        """Whether all headers have the UIDs by which objects refer to them."""
        return all(header.get(keyword) for header in self.headers for keyword in IDENTITY)

    @property
    def _one_header_a_slice(self) -> bool:
        """False for multi-frame images, and for slices that were turned to axial."""
        turned = any(flag.code == "turned_to_axial" for flag in self.volume.flags)
        return len(self.headers) == len(self.volume) and not turned

    def shown(self, index: int) -> tuple[Dataset, ...]:
        """The headers of what slice `index` (0 at the feet) shows: its own, or everybody's."""
        return (self.headers[index],) if self._one_header_a_slice else self.headers

    def place(self, index: int) -> NDArray[np.float64]:
        """(4, 4): (0, row, column, 1) of slice `index` to patient LPS mm.

        The height is the slice's own where it has a header of its own: readers let slices be
        slightly uneven, and a viewer matches planes by position.
        """
        place = self.volume.affine.copy()
        place[:3, 3] += index * place[:3, 0]
        if self._one_header_a_slice and "ImagePositionPatient" in self.headers[index]:
            position = self.headers[index].ImagePositionPatient
            normal = np.cross(place[:3, 2], place[:3, 1])
            normal /= np.linalg.norm(normal)
            place[:3, 3] += normal * (normal @ (np.array(position, float) - place[:3, 3]))
        return place

    def corners(self, index: int, box: Box) -> NDArray[np.float64]:
        """(5, 3): the closed outline of a box on slice `index`, in patient LPS mm."""
        # A box's edges are between pixels; index 0 is the middle of the first one.
        x0, y0, x1, y1 = box.x0 - 0.5, box.y0 - 0.5, box.x1 - 0.5, box.y1 - 0.5
        around = [(y0, x0), (y0, x1), (y1, x1), (y1, x0), (y0, x0)]
        indices = np.array([(0.0, row, column, 1.0) for row, column in around])
        return (indices @ self.place(index).T)[:, :3]

    def uid(self, purpose: str) -> str:
        """The same UID for the same source, model, time and purpose."""
        return str(
            generate_uid(
                entropy_srcs=[
                    str(self.headers[0].SOPInstanceUID),
                    self.model.sha256,
                    self.created.isoformat(),
                    purpose,
                ]
            )
        )


def open_source(context: ReportContext, model: ModelIdentity) -> Source:
    """The headers of a DICOM series, read again from its files.

    Args:
        context: with a volume that was read from DICOM, from feet to head, or with the files that
            a refusal is about.

    Raises:
        SourceChangedError: the files belong to another series than the one that was read.
    """
    series = None if context.volume is None else context.volume.series
    files = context.about if series is None else series.files
    # What is longer than any header's value is passed over, not loaded: it may be a bomb.
    headers = [
        pydicom.dcmread(file, stop_before_pixels=True, force=True, defer_size=LONGEST_VALUE)
        for file in files
    ]
    for header in headers:
        if context.volume is not None:
            _check_same(header, context.volume)
        _complete(header)
    return Source(
        headers=tuple(headers),
        placed=context.volume,
        model=model,
        version=context.version,
        created=context.created,
    )


def _check_same(header: Dataset, volume: Volume) -> None:
    """An answer must never be filed under a patient whose files came after it was found."""
    assert volume.study is not None and volume.series is not None
    found = [str(header.get(name, "")) for name in ("StudyInstanceUID", "SeriesInstanceUID")]
    if found != [volume.study.uid, volume.series.uid]:
        raise SourceChangedError


def _complete(header: Dataset) -> None:
    """Give a header what our objects must have; what breaks its own type there becomes empty."""
    _to_utf8(header)
    for keyword in [e.keyword for e in header if e.keyword and e.tag.group == PATIENT_GROUP]:
        if keyword not in NEEDED and not _is_valid(header, keyword):
            del header[keyword]
    for keyword in NEEDED:
        if header.get(keyword) is None or not _is_valid(header, keyword):
            setattr(header, keyword, "")


def _is_valid(header: Dataset, keyword: str) -> bool:
    vr, value = dictionary_VR(keyword), header[keyword].value
    try:
        DataElement(keyword, vr, value, validation_mode=RAISE)
    except ValueError:
        return False
    return keyword != "PatientSex" or str(value) in PATIENT_SEXES


def _to_utf8(header: Dataset) -> None:
    """Decode the text of a header, and drop what cannot be decoded or has no value of its type.

    highdicom takes neither sets of several character sets, usual in Japan, nor misspelt ones.
    """
    if not header.get("SpecificCharacterSet"):
        _declare(header)
    character_set = header.SpecificCharacterSet
    for tag in list(header.keys()):
        alone = Dataset()
        try:
            alone.SpecificCharacterSet = character_set
            alone[tag] = header[tag]
            alone.decode()  # changes the element itself, which the header shares
        except Exception:  # pydicom lets errors of every kind through for damaged values
            del header[tag]
    header.SpecificCharacterSet = UTF_8


def _declare(header: Dataset) -> None:
    """Say which set a header without one is in: ASCII as it should be, or else what it looks like.

    Without a set our own text beside the patient's could be nothing but ASCII.
    """
    raw = b"".join(
        element.value
        for element in header.values()
        if isinstance(element, RawDataElement) and element.value and _is_text(element)
    )
    try:
        raw.decode()
        found = UTF_8
    except UnicodeDecodeError:
        found = LATIN_1
    header.SpecificCharacterSet = found
    is_implicit, is_little = header.original_encoding
    header.set_original_encoding(is_implicit, is_little, convert_encodings(found))


def _is_text(element: RawDataElement) -> bool:
    known = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else ""
    return (element.VR or known) in TEXT_VRS


def reference(header: Dataset) -> Dataset:
    """An item that refers to one source instance (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def finish(dataset: Dataset, source: Source, description: str) -> Dataset:
    """What all objects of an answer share: when it was made, and which series it is."""
    dataset.SeriesDescription = description
    dataset.SeriesDate = dataset.ContentDate = source.created.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.ContentTime = source.created.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = (
        dataset.ContentDate,
        dataset.ContentTime,
    )
    return dataset
