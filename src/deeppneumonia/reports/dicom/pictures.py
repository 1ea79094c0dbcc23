"""The key-slice pictures as secondary captures, and the PDF report in a DICOM envelope."""

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from deeppneumonia.reports.dicom.source import MANUFACTURER, Source, finish, reference
from deeppneumonia.reports.document import ReportDocument

TEXT_FLAGS = {"burnt_in_annotation", "burnt_in_text"}
"""Of a source whose pixels may name the patient, by its header or by what they look like."""


def secondary_capture(
    drawing: NDArray[np.uint8], number: int, index: int, document: ReportDocument, source: Source
) -> Dataset:
    """One key-slice picture, (height, width, 3) RGB with its warning burnt in."""
    geometry = document.geometry
    dataset = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source.headers[0],
        pixel_array=drawing,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        series_instance_uid=source.uid("sc series"),
        series_number=9003,
        sop_instance_uid=source.uid(f"sc {number}"),
        instance_number=number,
        manufacturer=MANUFACTURER,
        patient_orientation=(geometry.right, geometry.bottom) if geometry else ("L", "P"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # The other kinds of object have it: who the patient is must not differ within an answer.
    dataset.copy_patient_and_study_information(source.headers[0])
    dataset.BodyPartExamined = "CHEST"
    dataset.ManufacturerModelName = source.model.name
    dataset.SoftwareVersions = source.version
    dataset.BurnedInAnnotation = _burnt_in(document)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = "AI heat map and details, not for diagnosis"
    dataset.ImageComments = document.disclaimer
    dataset.SourceImageSequence = [reference(header) for header in source.shown(index)]
    return finish(dataset, source, "AI key slices, not for diagnosis")


def encapsulated_pdf(pdf: bytes, document: ReportDocument, source: Source) -> Dataset:
    """The PDF report in the source's study. Source: DICOM PS3.3 A.45.1."""
    header = source.headers[0]
    dataset = hd.SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=source.uid("pdf series"),
        series_number=9004,
        sop_instance_uid=source.uid("pdf"),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=header.SpecificCharacterSet,
    )
    dataset.copy_patient_and_study_information(header)
    dataset.ConversionType = "WSD"
    dataset.ManufacturerModelName = source.model.name
    dataset.SoftwareVersions = source.version
    dataset.DeviceSerialNumber = source.model.sha256[:16]
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = _burnt_in(document) if document.key_findings else "NO"
    dataset.DocumentTitle = f"{document.title}. {document.disclaimer}"
    dataset.ConceptNameCodeSequence = [
        hd.sr.CodedConcept.from_code(codes.DCM.ImagingMeasurementReport)
    ]
    dataset.SourceInstanceSequence = [reference(header) for header in source.headers]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    dataset.EncapsulatedDocumentLength = len(pdf)
    return finish(dataset, source, "AI report, not for diagnosis")


def _burnt_in(document: ReportDocument) -> str:
    """Whether the source's own pixels may name a person; our warning is not what is meant."""
    return "YES" if any(flag.code in TEXT_FLAGS for flag in document.flags) else "NO"
