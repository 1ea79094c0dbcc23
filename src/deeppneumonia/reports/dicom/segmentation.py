"""The lungs that were found, and the details, on the key slices, as a DICOM segmentation."""

import math
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from deeppneumonia.domain import KeySlice
from deeppneumonia.reports.dicom.source import MANUFACTURER, Source, finish, reference


def segmentation(key_slices: Sequence[KeySlice], source: Source) -> Dataset:
    """One binary segment for the lungs, one for all details; frames are the key slices."""
    ordered = sorted(key_slices, key=lambda one: one.prediction.slice_index)
    indices = [one.prediction.slice_index for one in ordered]
    lungs = np.stack([one.lung_mask for one in ordered])
    details = np.stack([_details(one) for one in ordered])
    masks, names = [lungs], ["Lungs"]
    if details.any():
        masks, names = [lungs, details], ["Lungs", "Details used by the network"]
    seen = {id(header): header for index in indices for header in source.shown(index)}
    given, others = _as_highdicom_takes(list(seen.values()))
    between_mm, row_mm, column_mm = source.volume.spacing_mm
    place = source.volume.affine[:3] / (between_mm, row_mm, column_mm, 1)
    dataset = hd.seg.Segmentation(
        source_images=given,
        pixel_array=np.stack(masks, axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(number, name, source) for number, name in enumerate(names, start=1)
        ],
        series_instance_uid=source.uid("seg series"),
        series_number=9002,
        sop_instance_uid=source.uid("seg"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=source.model.name,
        software_versions=source.version,
        device_serial_number=source.model.sha256[:16],
        content_label="KEY_SLICES",
        content_description="AI, not for diagnosis",
        pixel_measures=hd.PixelMeasuresSequence((row_mm, column_mm), between_mm),
        plane_orientation=hd.PlaneOrientationSequence(
            hd.CoordinateSystemNames.PATIENT, [*place[:, 2], *place[:, 1]]
        ),
        plane_positions=[
            hd.PlanePositionSequence(
                hd.CoordinateSystemNames.PATIENT, source.place(index)[:3, 3].tolist()
            )
            for index in indices
        ],
    )
    references = [dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    references += [dataset.SourceImageSequence] if "SourceImageSequence" in dataset else []
    for items in references:
        items.extend(reference(header) for header in others)
    dataset.BodyPartExamined = "CHEST"
    return finish(dataset, source, "AI lungs and details, not for diagnosis")


def _as_highdicom_takes(headers: list[Dataset]) -> tuple[list[Dataset], list[Dataset]]:
    """What it builds on, and the others: of multi-frame images it takes one, a study has more."""
    whole = [header for header in headers if "PerFrameFunctionalGroupsSequence" in header]
    if not whole:
        return headers, []
    return whole[:1], [header for header in headers if header is not whole[0]]


def _details(key: KeySlice) -> NDArray[np.bool_]:
    rows, columns = key.lung_mask.shape
    mask = np.zeros((rows, columns), bool)
    for detail in key.prediction.details:
        box = detail.box.clipped(rows, columns)
        if box is not None:
            top, left = int(box.y0), int(box.x0)
            mask[top : math.ceil(box.y1), left : math.ceil(box.x1)] = True
    return mask


def _segment(number: int, name: str, source: Source) -> hd.seg.SegmentDescription:
    lung = number == 1
    category = codes.SCT.AnatomicalStructure if lung else codes.SCT.SpatialAndRelationalConcept
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=category,
        segmented_property_type=codes.SCT.Lung if lung else codes.DCM.SelectedRegion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"{MANUFACTURER} {'lungs' if lung else source.model.name}",
            family=codes.DCM.ArtificialIntelligence,
            version=source.version,
        ),
        tracking_id=name,
        tracking_uid=source.uid(name),
    )
