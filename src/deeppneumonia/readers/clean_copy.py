"""CT images without their patient: only what reading them needs is kept, under new UIDs.

The Basic Application Level Confidentiality Profile (PS3.15 annex E, table E.1-1) names what has to
go. Here the list is the other way round: what is not named below goes, private elements and free
text included, so that a tag that nobody thought of cannot betray anybody. Pixels stay as they are.
"""

import hmac
import uuid
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from deeppneumonia.domain.study import SourceKind
from deeppneumonia.readers.gate import admit
from deeppneumonia.readers.headers import patient_hash, unreadable
from deeppneumonia.readers.study import kind_of

CT_CLASSES = frozenset(
    (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
)
"""Reports, secondary captures and documents name people in ways that no list of tags covers."""

KEPT = """
    SpecificCharacterSet ImageType SOPClassUID Modality Manufacturer ManufacturerModelName
    BodyPartExamined KVP SliceThickness SpacingBetweenSlices ConvolutionKernel FilterType
    GantryDetectorTilt PatientPosition ReconstructionDiameter DataCollectionDiameter
    XRayTubeCurrent ExposureTime Exposure SpiralPitchFactor RotationDirection
    AcquisitionNumber InstanceNumber SeriesNumber SliceLocation
    ImagePositionPatient ImageOrientationPatient PixelSpacing Rows Columns NumberOfFrames
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration BitsAllocated BitsStored HighBit
    PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit SmallestImagePixelValue
    LargestImagePixelValue RescaleIntercept RescaleSlope RescaleType WindowCenter WindowWidth
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    BurnedInAnnotation PixelData
    FrameType FrameAcquisitionNumber DimensionIndexValues InStackPositionNumber
    DimensionIndexPointer FunctionalGroupPointer PixelPresentation VolumetricProperties
    VolumeBasedCalculationTechnique ContentQualification PresentationLUTShape
"""
RENAMED = """
    StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID DimensionOrganizationUID
"""
ENTERED = """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence
    PlanePositionSequence PlaneOrientationSequence PixelValueTransformationSequence
    FrameVOILUTSequence FrameContentSequence CTImageFrameTypeSequence CTReconstructionSequence
    DimensionOrganizationSequence DimensionIndexSequence
"""
EMPTIED = """
    PatientName PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber
    ReferringPhysicianName
"""
"""What every image must have, were it empty (type 2; action Z in table E.1-1)."""

METHOD = "DeepPneumonia: all removed but what reading needs (PS3.15 E)"
BASIC_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")


def write_deidentified(path: Path, stem: Path, key: bytes) -> int:
    """Copies of the CT images at `path`, without their patient.

    Args:
        path: a DICOM file, or a zip archive of such; whatever else is in it is passed over.
        stem: copies are called STEM_0.dcm, STEM_1.dcm and so on.
        key: names of patients and UIDs become other ones by it, always the same.

    Returns:
        How many copies there are.

    Raises:
        StudyError: the archive is unsafe, or a header cannot be read.
    """
    count, admitted = 0, admit(path)  # whose lease keeps unpacked files alive
    for file in admitted.files:
        if kind_of(file) is SourceKind.DICOM:
            count += _write(file, stem.with_name(f"{stem.name}_{count}.dcm"), key)
    return count


def pseudonym(uid: str, key: bytes) -> str:
    """A UID that stands for another, and cannot be led back to it without the key (PS3.5 B.2)."""
    digest = hmac.digest(key, uid.strip(" \0").encode(), "sha256")
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _write(file: Path, target: Path, key: bytes) -> bool:
    """Whether there is a copy: of anything but CT images there is none."""
    try:
        dataset = pydicom.dcmread(file, force=True)
        if str(dataset.get("SOPClassUID", "")) not in CT_CLASSES:
            return False
        clean = _deidentified(dataset, key)
        _identify(clean, patient_hash(dataset), key)
        clean.file_meta = _meta(dataset, clean)
        clean.save_as(target, enforce_file_format=True)
    except (MemoryError, RecursionError, OSError):  # limits are named by the reading process
        raise
    # pydicom lets errors of every kind through for damaged files; each means the same to us.
    except Exception as error:
        raise unreadable() from error
    return True


def _deidentified(dataset: Dataset, key: bytes) -> Dataset:
    clean = Dataset()
    for keyword in KEPT.split():
        if (tag := _tag(keyword)) in dataset:
            clean[tag] = dataset.get_item(tag)  # as it stands in the file, valid or not
    for keyword in RENAMED.split():
        if keyword in dataset:
            setattr(clean, keyword, pseudonym(str(dataset[keyword].value), key))
    for keyword in ENTERED.split():
        if keyword in dataset:
            items = dataset[keyword].value or []
            setattr(clean, keyword, Sequence([_deidentified(item, key) for item in items]))
    return clean


def _identify(clean: Dataset, patient: str, key: bytes) -> None:
    """Say whose it is by a pseudonym, and that it is one (PS3.15 E.1.1)."""
    for keyword in EMPTIED.split():
        setattr(clean, keyword, "")
    clean.PatientID = hmac.digest(key, patient.encode(), "sha256")[:8].hex()
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = METHOD
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = BASIC_PROFILE
    clean.DeidentificationMethodCodeSequence = Sequence([code])
    clean.LongitudinalTemporalInformationModified = "REMOVED"


def _meta(dataset: Dataset, clean: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    stated = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    meta.TransferSyntaxUID = UID(stated or _syntax(*dataset.original_encoding))
    meta.MediaStorageSOPClassUID = clean.SOPClassUID
    meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    return meta


def _syntax(is_implicit: Any, is_little: Any) -> str:
    if is_implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag
