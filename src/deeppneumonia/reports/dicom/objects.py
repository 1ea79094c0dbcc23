"""All DICOM objects of one answer, as the bytes of files."""

import warnings
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from deeppneumonia.domain import KeySlice, PatientDiagnosis
from deeppneumonia.reports.dicom.pictures import encapsulated_pdf, secondary_capture
from deeppneumonia.reports.dicom.segmentation import segmentation
from deeppneumonia.reports.dicom.source import open_source
from deeppneumonia.reports.dicom.structured_report import structured_report
from deeppneumonia.reports.document import ReportContext, ReportDocument


def dicom_objects(
    diagnosis: PatientDiagnosis,
    key_slices: Sequence[KeySlice],
    document: ReportDocument,
    drawings: Sequence[NDArray[np.uint8]],
    pdf: bytes,
    context: ReportContext,
) -> dict[str, bytes]:
    """`sr.dcm`, `report.dcm` and, where there are key slices, `seg.dcm` and `key_*.dcm`.

    They belong to the study and the patient of the source, and only in them a patient is named.
    There are none for a source without UIDs (anonymised too far): nothing can refer to it.

    Args:
        context: with a volume that was read from DICOM, or the files that a refusal is about.
    """
    with warnings.catch_warnings():
        # pydicom and highdicom quote what they find odd, a patient's name included.
        warnings.simplefilter("ignore")
        return _objects(diagnosis, key_slices, document, drawings, pdf, context)


def _objects(
    diagnosis: PatientDiagnosis,
    key_slices: Sequence[KeySlice],
    document: ReportDocument,
    drawings: Sequence[NDArray[np.uint8]],
    pdf: bytes,
    context: ReportContext,
) -> dict[str, bytes]:
    source = open_source(context, diagnosis.model)
    if not source.is_identified:
        return {}
    objects = {
        "sr.dcm": structured_report(diagnosis, document, source),
        "report.dcm": encapsulated_pdf(pdf, document, source),
    }
    shown = document.key_findings if context.volume is not None else ()
    if shown and source.frame_of_reference is not None:
        objects["seg.dcm"] = segmentation(key_slices, source)
    for number, (key, drawing) in enumerate(zip(shown, drawings, strict=True), start=1):
        objects[f"key_{number}.dcm"] = secondary_capture(
            drawing, number, key.slice_index, document, source
        )
    return {name: _file_of(dataset) for name, dataset in objects.items()}


def _file_of(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
