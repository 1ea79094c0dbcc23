"""The words beside the picture of a key slice, and how that picture lies in the patient."""

import numpy as np

from deeppneumonia.domain import Box, KeySlice, SlicePrediction, Volume, title_of
from deeppneumonia.domain.wording import counted
from deeppneumonia.reports.document import (
    DetailLine,
    KeyFinding,
    PictureGeometry,
    ReportContext,
    ranked_lines,
)
from deeppneumonia.reports.wording import capitalised, listed

OWN_FIGURES = (
    "The figures of this slice are the network's own, not calibrated as the patient's are."
)

SIDES = {"R": "patient's right", "L": "patient's left"}


def picture_geometry(volume: Volume | None) -> PictureGeometry | None:
    """Pixel size and the sides of the patient at the edges, from the affine alone."""
    if volume is None or not volume.has_geometry:
        return None
    _, row_mm, column_mm = volume.spacing_mm
    # LPS: x grows to the patient's left, y to the back.
    left, right = ("R", "L") if volume.affine[0, 2] > 0 else ("L", "R")
    top, bottom = ("A", "P") if volume.affine[1, 1] > 0 else ("P", "A")
    return PictureGeometry(row_mm, column_mm, left, right, top, bottom)


def key_finding(
    key: KeySlice, geometry: PictureGeometry | None, context: ReportContext
) -> KeyFinding:
    """One key slice in words: where it lies, what the network gives it, what it looked at."""
    prediction = key.prediction
    details = tuple(
        DetailLine(number, f"{detail.weight:.2f}", _side(detail.box, key, geometry))
        for number, detail in enumerate(prediction.details, start=1)
    )
    heat_title = _heat_title(key)
    return KeyFinding(
        slice_index=prediction.slice_index,
        title=f"Slice {prediction.slice_index}",
        position=_position(prediction.slice_index, context.volume),
        probabilities=ranked_lines(prediction.probabilities),
        details=details,
        details_caption=(f"{_details_caption(prediction, context.detail_level)} {OWN_FIGURES}"),
        heat_title=heat_title,
        heat_caption=_heat_caption(heat_title),
        alt=_alt(prediction.slice_index, details, heat_title),
    )


def _heat_title(key: KeySlice) -> str:
    """Empty where there is no map, or nothing on it."""
    if key.saliency is None or not key.saliency.heat.any():
        return ""
    return title_of(key.saliency.label)


def _position(index: int, volume: Volume | None) -> str:
    if volume is None or not volume.has_geometry:
        return ""
    height_mm = index * volume.spacing_mm[0]
    z_mm = float((volume.affine @ np.array([index, 0, 0, 1.0]))[2])
    return f"{height_mm:.0f} mm above the lowest slice, z = {z_mm:.1f} mm"


def _side(box: Box, key: KeySlice, geometry: PictureGeometry | None) -> str:
    """The patient's side, seen from the middle of the lungs; empty when it is not known."""
    if geometry is None or not key.lung_mask.any():
        return ""
    middle = float(np.flatnonzero(key.lung_mask.any(axis=0))[[0, -1]].mean())
    at_left_edge = (box.x0 + box.x1) / 2 < middle
    return SIDES[geometry.left if at_left_edge else geometry.right]


def _details_caption(prediction: SlicePrediction, level: float | None) -> str:
    """A detail speaks for its own slice's disease, which need not be the patient's answer."""
    count, leading = len(prediction.details), ranked_lines(prediction.probabilities)[0].label
    disease = title_of(leading) if count else "a disease"
    reach = "" if level is None else f" alone speaks for {disease} with {level:.2f} or more"
    if not count:
        return f"No detail{reach}: no box is drawn."
    which = ", it" if count == 1 else ", each"
    boxed = f"{capitalised(counted(count, 'detail'))} boxed"
    return (
        f"{boxed}{which + reach if reach else ''}. The number is a detail's weight in what the "
        "network says of the slice."
    )


def _heat_caption(heat_title: str) -> str:
    if not heat_title:
        return "No heat map: the network points at no place for its answer."
    return f"Grad-CAM heat map: where the evidence for {heat_title} lies."


def _alt(index: int, details: tuple[DetailLine, ...], heat_title: str) -> str:
    drawn = [f"a heat map for {heat_title}"] if heat_title else []
    drawn += [f"{counted(len(details), 'boxed detail')}"] if details else []
    right = f"with {listed(drawn)}" if drawn else "with nothing drawn on it"
    return f"CT slice {index} in the lung window, and beside it the same slice {right}."
