"""DICOM studies: headers of all files, one series chosen, checked and ordered, pixels later."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from deeppneumonia.domain.study import Series, SourceKind, Study
from deeppneumonia.domain.volume import QualityFlag, Unit, Volume
from deeppneumonia.readers.decode import DicomSlices, check_rescale, dtype_for
from deeppneumonia.readers.display import Reorientation, to_display
from deeppneumonia.readers.gate import Lease, NoStudyError
from deeppneumonia.readers.geometry import stack_slices
from deeppneumonia.readers.headers import SliceHeader, read_headers
from deeppneumonia.readers.limits import check_voxels
from deeppneumonia.readers.refusals import MixedPatientsError, SeveralStudiesError
from deeppneumonia.readers.series import by_series, choose_series, describe
from deeppneumonia.readers.stack import usable_slices

LOSSY_SYNTAXES = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless}
"""Lose detail whatever the header says; JPEG 2000 and HTJ2K may lose none."""


def dicom_study(files: Sequence[Path], ignored: tuple[str, ...]) -> Study:
    """The study in these DICOM files, all of its series included; reads headers only.

    Raises:
        StudyError: a damaged header, MixedPatientsError, SeveralStudiesError.
    """
    return _study_of(_headers_of(files, None), ignored)


def dicom_volume(
    files: Sequence[Path], wanted: str | None, ignored: tuple[str, ...], lease: Lease | None
) -> Volume:
    """One series as a volume in HU, in standard display from feet to head.

    Args:
        files: all DICOM files of the study.
        wanted: Series Instance UID; None to choose by the rule of `choose_series`.
        ignored: what lay beside them, for the record.
        lease: keeps unpacked files alive as long as the volume.

    Raises:
        StudyError: anything that keeps the series from being read right.
    """
    headers = _headers_of(files, wanted)
    groups = by_series(headers)
    uid, because = choose_series(groups, wanted)
    slices, flags = usable_slices(groups[uid])
    check_voxels(len(slices), slices[0].rows, slices[0].columns)
    row_mm, column_mm = slices[0].pixel_spacing_mm
    stack = stack_slices(
        [h.position for h in slices],
        slices[0].orientation,
        (row_mm, column_mm),
        slices[0].thickness_mm or 1.0,
    )
    ordered = tuple(slices[i] for i in stack.order)
    check_rescale(ordered)
    shape = (len(ordered), ordered[0].rows, ordered[0].columns)
    turn = to_display(stack.affine, shape)
    series = replace(
        _series_of(uid, groups[uid]),
        files=tuple(dict.fromkeys(h.file for h in ordered)),
        chosen_because=because,
    )
    return Volume(
        pixels=DicomSlices(ordered, turn, dtype_for(ordered), lease),
        unit=Unit.HU,
        affine=turn.affine,
        flags=flags + turn.flags + _turned_flag(turn) + _flags_of(ordered),
        series=series,
        study=_study_of(headers, ignored),
    )


def _headers_of(files: Sequence[Path], wanted: str | None) -> tuple[SliceHeader, ...]:
    """All headers of one patient and one study; with `wanted`, of the study of that series."""
    found = tuple(header for file in files for header in read_headers(file))
    headers = tuple(h for h in found if h.series_uid or h.rows)
    if not headers:
        raise NoStudyError(
            "The DICOM files hold no images (only a directory or other records), where a CT "
            "series is expected: give the folder with the images themselves."
        )
    patients = {h.patient for h in headers}
    if len(patients) > 1:
        raise MixedPatientsError(
            f"The images belong to {len(patients)} different patients (Patient ID), where one is "
            "expected: give the study of one patient; a folder of many is read with --workers."
        )
    if wanted is not None and (studies := {h.study_uid for h in headers if h.series_uid == wanted}):
        headers = tuple(h for h in headers if h.study_uid in studies)
    studies = {h.study_uid for h in headers}
    if len(studies) > 1:
        raise SeveralStudiesError(
            f"The images belong to {len(studies)} studies, where one is expected: give the folder "
            "of one study, or name the series to read by its UID."
        )
    return headers


def _study_of(headers: tuple[SliceHeader, ...], ignored: tuple[str, ...]) -> Study:
    return Study(
        uid=headers[0].study_uid,
        kind=SourceKind.DICOM,
        series=tuple(_series_of(uid, group) for uid, group in by_series(headers).items()),
        ignored=ignored,
    )


def _series_of(uid: str, headers: Sequence[SliceHeader]) -> Series:
    return Series(
        uid=uid,
        modality=headers[0].modality or "OT",
        files=tuple(dict.fromkeys(h.file for h in headers)),
        description=describe(headers),
    )


def _turned_flag(turn: Reorientation) -> tuple[QualityFlag, ...]:
    if turn.slices_stay_slices:
        return ()
    _, row_mm, column_mm = np.linalg.norm(turn.affine[:3, :3], axis=0)
    return (
        QualityFlag(
            "turned_to_axial",
            "The series is sagittal or coronal; its voxels were arranged as axial slices, with "
            f"pixels of {row_mm:.2g} x {column_mm:.2g} mm and without interpolation.",
        ),
    )


def _flags_of(slices: Sequence[SliceHeader]) -> tuple[QualityFlag, ...]:
    """What the headers say about the chosen slices that a reader of the result should know."""
    flags = []
    if len(slices) == 1:
        flags.append(QualityFlag("one_slice", "The series has a single slice."))
    if any(h.lossy or h.transfer_syntax in LOSSY_SYNTAXES for h in slices):
        flags.append(
            QualityFlag("lossy_compression", "The images were compressed with loss of detail.")
        )
    if any(h.says_text for h in slices):
        flags.append(
            QualityFlag(
                "burnt_in_annotation",
                "The header says that text is burnt into the images: it may name the patient.",
            )
        )
    tilt = max(abs(h.tilt_tag_deg) for h in slices)
    if tilt > 1:
        flags.append(
            QualityFlag(
                "tilt_tag",
                f"The header states a gantry tilt of {tilt:.1f} degrees, which the positions of "
                "the slices do not show.",
            )
        )
    return tuple(flags)
