"""The answer as a TID 1500 measurement report: probabilities, details, flags, and what made them.

Source: DICOM PS3.16 TID 1500, 1410, 1501; PS3.3 A.35.13 (Comprehensive 3D SR).
"""

from collections.abc import Mapping, Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from deeppneumonia.domain import PatientDiagnosis, SlicePrediction, Status, title_of
from deeppneumonia.reports.dicom.source import MANUFACTURER, Source, finish
from deeppneumonia.reports.document import ReportDocument

SCHEME = "99DEEPPNEUMONIA"
"""Our own words, where the standard has none."""

Roi = sr.PlanarROIMeasurementsAndQualitativeEvaluations

CHEST_CT = sr.CodedConcept("24627-2", "LN", "CT Chest")
ANSWERS: Mapping[str, sr.CodedConcept] = {
    "covid": sr.CodedConcept("882784691000119100", "SCT", "Pneumonia caused by SARS-CoV-2"),
    "bacterial": sr.CodedConcept("53084003", "SCT", "Bacterial pneumonia"),
    "healthy": sr.CodedConcept("17621005", "SCT", "Normal"),
}


def structured_report(
    diagnosis: PatientDiagnosis, document: ReportDocument, source: Source
) -> Dataset:
    """The whole answer as one SR document; a refusal has reasons and no measurement."""
    groups: list[sr.MeasurementsAndQualitativeEvaluations | Roi] = [
        _with_remarks(_patient(diagnosis, source), _remarks(document))
    ]
    if diagnosis.status is not Status.REFUSED:
        by_index = {one.slice_index: one for one in diagnosis.slices}
        for index in diagnosis.key_slices:
            groups.append(_key_slice(by_index[index], source))
            groups.extend(_details(by_index[index], source))
    report = sr.MeasurementReport(
        observation_context=_observer(source),
        procedure_reported=CHEST_CT,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    dataset = sr.Comprehensive3DSR(
        evidence=list(source.headers),
        content=report[0],
        series_instance_uid=source.uid("sr series"),
        series_number=9001,
        sop_instance_uid=source.uid("sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    return finish(dataset, source, "AI report, not for diagnosis")


def _observer(source: Source) -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=source.uid("device"),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=source.model.name,
        serial_number=source.version,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(codes.DCM.Device, device)
    )


def _algorithm(source: Source) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=f"{MANUFACTURER} {source.model.name}",
        version=source.version,
        parameters=[f"model sha256 {source.model.sha256}"],
    )


def _probabilities(probabilities: Mapping[str, float]) -> list[sr.Measurement]:
    return [
        sr.Measurement(
            # Not cut to 16 characters: what is longer goes into Long Code Value (PS3.3 8.1), and
            # two labels that begin alike keep codes of their own.
            name=sr.CodedConcept(f"p_{label}", SCHEME, f"Probability of {title_of(label)}"[:64]),
            value=round(value, 6),
            unit=codes.UCUM.NoUnits,
        )
        for label, value in probabilities.items()
    ]


def _answer(label: str) -> sr.CodedConcept:
    return ANSWERS.get(label) or sr.CodedConcept(label, SCHEME, title_of(label)[:64])


def _patient(
    diagnosis: PatientDiagnosis, source: Source
) -> sr.MeasurementsAndQualitativeEvaluations:
    refused = diagnosis.status is Status.REFUSED
    status = sr.QualitativeEvaluation(
        sr.CodedConcept("status", SCHEME, "How the study ended"),
        sr.CodedConcept(str(diagnosis.status), SCHEME, str(diagnosis.status)),
    )
    named = [] if diagnosis.diagnosis is None else [diagnosis.diagnosis]
    answer = [sr.QualitativeEvaluation(codes.DCM.Finding, _answer(label)) for label in named]
    flags = [
        sr.QualitativeEvaluation(
            sr.CodedConcept("quality_flag", SCHEME, "Quality flag"),
            sr.CodedConcept(flag.code, SCHEME, flag.code[:64]),
        )
        for flag in diagnosis.flags
    ]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(source.uid("patient"), "patient"),
        algorithm_id=_algorithm(source),
        measurements=[] if refused else _probabilities(diagnosis.probabilities),
        qualitative_evaluations=[status, *answer, *flags],
    )


def _key_slice(
    prediction: SlicePrediction, source: Source
) -> sr.MeasurementsAndQualitativeEvaluations:
    name = f"key slice {prediction.slice_index}"
    shown = source.shown(prediction.slice_index)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(source.uid(name), name),
        algorithm_id=_algorithm(source),
        measurements=_probabilities(prediction.probabilities),
        source_images=[sr.SourceImageForMeasurementGroup.from_source_image(one) for one in shown],
    )


def _details(prediction: SlicePrediction, source: Source) -> list[Roi]:
    """One region per detail, in the patient's space; none where the source has no such space."""
    if source.frame_of_reference is None:
        return []
    groups = []
    for number, detail in enumerate(prediction.details, start=1):
        name = f"key slice {prediction.slice_index} detail {number}"
        region = sr.ImageRegion3D(
            graphic_type=sr.GraphicTypeValues3D.POLYGON,
            graphic_data=source.corners(prediction.slice_index, detail.box),
            frame_of_reference_uid=source.frame_of_reference,
        )
        weight = sr.Measurement(
            name=sr.CodedConcept("weight", SCHEME, "Weight of the detail"),
            value=round(detail.weight, 6),
            unit=codes.UCUM.NoUnits,
        )
        groups.append(
            Roi(
                tracking_identifier=sr.TrackingIdentifier(source.uid(name), name),
                referenced_region=region,
                finding_type=codes.DCM.SelectedRegion,
                algorithm_id=_algorithm(source),
                measurements=[weight],
            )
        )
    return groups


def _remarks(document: ReportDocument) -> Sequence[str]:
    """What a reader of the SR has to know and no code can say."""
    return (
        f"{document.disclaimer}. {document.impression.headline}.",
        *document.impression.reasons,
        *(flag.message for flag in document.flags),
    )


def _with_remarks(
    group: sr.MeasurementsAndQualitativeEvaluations, remarks: Sequence[str]
) -> sr.MeasurementsAndQualitativeEvaluations:
    """The group with remarks as text in it, which TID 1501 allows as an extension."""
    for remark in remarks:
        item = sr.TextContentItem(
            codes.DCM.Comment, remark, relationship_type=sr.RelationshipTypeValues.CONTAINS
        )
        group[0].ContentSequence.append(item)
    return group
