"""The key-slice pictures as secondary captures, and the PDF report in a DICOM envelope."""

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from deeppneumonia.reports.dicom.source import MANUFACTURER, NEEDED, Source, finish, reference
from deeppneumonia.reports.document import ReportDocument


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
    dataset.BodyPartExamined = "CHEST"
    dataset.ManufacturerModelName = source.model.name
    dataset.SoftwareVersions = source.version
    dataset.BurnedInAnnotation = "NO"  # it names no person; the warning is not what is meant here
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = "AI heat map and details, not for diagnosis"
    dataset.ImageComments = document.disclaimer
    dataset.SourceImageSequence = [reference(header) for header in source.shown(index)]
    return finish(dataset, source, "AI key slices, not for diagnosis")


def encapsulated_pdf(pdf: bytes, document: ReportDocument, source: Source) -> Dataset:
    """The PDF report in the source's study. Source: DICOM PS3.3 A.45.1."""
    dataset, header = Dataset(), source.headers[0]
    for keyword in (*NEEDED, "PatientAge", "SpecificCharacterSet"):
        if keyword in header:
            dataset[keyword] = header[keyword]
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = source.uid("pdf")
    dataset.StudyInstanceUID = header.StudyInstanceUID
    dataset.SeriesInstanceUID = source.uid("pdf series")
    dataset.Modality, dataset.ConversionType = "DOC", "WSD"
    dataset.SeriesNumber, dataset.InstanceNumber = 9004, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, source.model.name
    dataset.SoftwareVersions = source.version
    dataset.DeviceSerialNumber = source.model.sha256[:16]
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "NO"
    dataset.DocumentTitle = f"{document.title}. {document.disclaimer}"
    dataset.ConceptNameCodeSequence = [
        hd.sr.CodedConcept.from_code(codes.DCM.ImagingMeasurementReport)
    ]
    dataset.SourceInstanceSequence = [reference(header) for header in source.headers]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return finish(dataset, source, "AI report, not for diagnosis")
