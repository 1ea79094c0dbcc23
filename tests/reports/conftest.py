"""Four patients drawn by hand: diagnosed, healthy, indeterminate, refused."""

from collections.abc import Callable
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import (
    Box,
    Detail,
    KeySlice,
    ModelIdentity,
    PatientDiagnosis,
    QualityFlag,
    SaliencyMap,
    Series,
    SlicePrediction,
    SourceKind,
    Status,
    Study,
    Unit,
    Volume,
    volume_of,
)
from deeppneumonia.reports import ReportContext

SIDE = 512
LABELS = ("covid", "bacterial", "healthy")
KEPT = tuple(range(6, 58, 4))
DROPPED = ({"index": 2, "reason": "incomplete lung: 1.6% of the slice, not 4.0%"},)
LESIONS = ((150, 300), (385, 270), (120, 235))
"""Column and row of the middle of each detail."""


def chest() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A drawn axial slice in the lung window, and its lungs."""
    grey = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(grey, (256, 262), (232, 170), 0, 0, 360, 205, -1, cv2.LINE_AA)
    lungs = np.zeros_like(grey)
    for x, tilt in ((150, 8), (362, -8)):
        cv2.ellipse(lungs, (x, 255), (82, 128), tilt, 0, 360, 255, -1)
    texture = np.random.default_rng(7).normal(0, 22, grey.shape)
    texture = cv2.GaussianBlur(texture.astype(np.float32), (0, 0), 2) * 3
    grey = np.where(lungs > 0, np.clip(58 + texture, 0, 255), grey).astype(np.uint8)
    for x, y in LESIONS:
        spot = np.zeros((SIDE, SIDE), np.float32)
        cv2.circle(spot, (x, y), 24, 1, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), 9) * (lungs > 0)
        grey = np.clip(grey + 90 * spot, 0, 255).astype(np.uint8)
    cv2.ellipse(grey, (256, 370), (34, 26), 0, 0, 360, 245, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(grey, (0, 0), 0.8), lungs > 0


def heat() -> NDArray[np.float32]:
    found = np.zeros((SIDE, SIDE), np.float32)
    for (x, y), strength in zip(LESIONS, (1.0, 0.75, 0.5), strict=True):
        spot = np.zeros_like(found)
        cv2.circle(spot, (x, y), 34, strength, -1)
        found = np.maximum(found, cv2.GaussianBlur(spot, (0, 0), 16))
    found[found < 0.02] = 0
    return found / found.max()


def details() -> tuple[Detail, ...]:
    sizes, weights = (52, 48, 40), (0.97, 0.93, 0.84)
    return tuple(
        Detail(Box(x - s / 2, y - s / 2, x + s / 2, y + s / 2), weight)
        for (x, y), s, weight in zip(LESIONS, sizes, weights, strict=True)
    )


def predictions(peak: tuple[float, float, float]) -> tuple[SlicePrediction, ...]:
    """One opinion per kept slice, strongest low in the lung and fading towards the head."""
    found = []
    for place, index in enumerate(KEPT):
        share = 1 - 0.8 * place / len(KEPT)
        values = np.array(peak) * share + np.full(3, 1 / 3) * (1 - share)
        ill = int(np.argmax(values)) != 2 and place < 9
        found.append(
            SlicePrediction(
                slice_index=index,
                probabilities=dict(zip(LABELS, (values / values.sum()).tolist(), strict=True)),
                details=details()[: 3 - place // 3] if ill else (),
            )
        )
    return tuple(found)


def ct_volume(description: str = "Thorax 1.0 Br59") -> Volume:
    series = Series(
        uid="1.2.3.4.5",
        modality="CT",
        files=(),
        description=description,
        chosen_because="the only axial CT series with lung kernel and more than 20 slices",
    )
    study = Study(uid="1.2.3.4", kind=SourceKind.DICOM, series=(series,))
    pixels = volume_of(np.zeros((60, 8, 8), np.int16), Unit.HU, (5.0, 0.7, 0.7))
    affine = pixels.affine.copy()
    affine[:3, 3] = (-179.2, -179.2, -412.5)
    return Volume(pixels=pixels.pixels, unit=Unit.HU, affine=affine, series=series, study=study)


def context(volume: Volume | None = None) -> ReportContext:
    return ReportContext(
        version="0.1.0",
        created=datetime(2025, 3, 1, 9, 30, tzinfo=UTC),
        volume=volume,
        detail_level=0.8,
        trained_on=(
            "It learned from patients of three hospitals in two countries; bacterial pneumonia "
            "came from one of them only.",
        ),
    )


QUALITY: dict[str, object] = {
    "unit": "HU",
    "window_center_hu": -600.0,
    "window_width_hu": 1500.0,
    "format": "dicom",
    "study_uid": "1.2.3.4",
    "series_uid": "1.2.3.4.5",
    "series_description": "Thorax 1.0 Br59",
    "series_chosen_because": "the only axial CT series with more than 20 slices",
    "spacing_mm": [5.0, 0.7, 0.7],
    "lung_volume_ml": np.float64(4312.4),
    "dropped": list(DROPPED),
}
MODEL = ModelIdentity("drenet", "9f" * 32)
GAP = QualityFlag(
    "gap",
    "There is a gap of 10.0 mm after slice 31, where this series has a slice every 5.0 mm: "
    "some slices seem to be missing.",
)


def answered(
    status: Status, shares: tuple[float, float, float], **changes: object
) -> PatientDiagnosis:
    slices = predictions(shares)
    leading = LABELS[int(np.argmax(shares))]
    facts: dict[str, object] = {
        "status": status,
        "reasons": (),
        "probabilities": dict(zip(LABELS, shares, strict=True)),
        "diagnosis": leading if status is Status.DIAGNOSED else None,
        "slices": slices,
        "key_slices": KEPT[:3],
        "flags": (),
        "quality": QUALITY,
        "model": MODEL,
        "timing_s": {"read": 1.2, "network": 3.4567891, "total": 4.6567891},
    }
    return PatientDiagnosis(**{**facts, **changes})  # type: ignore[arg-type]


def key_slices_of(diagnosis: PatientDiagnosis, label: str = "covid") -> tuple[KeySlice, ...]:
    grey, lungs = chest()
    by_index = {one.slice_index: one for one in diagnosis.slices}
    return tuple(
        KeySlice(
            prediction=by_index[index],
            grey=grey,
            lung_mask=lungs,
            saliency=SaliencyMap(index, label, heat()) if by_index[index].details else None,
        )
        for index in diagnosis.key_slices
    )


@pytest.fixture(scope="session")
def covid() -> PatientDiagnosis:
    return answered(Status.DIAGNOSED, (0.962, 0.031, 0.007), flags=(GAP,))


@pytest.fixture(scope="session")
def healthy() -> PatientDiagnosis:
    return answered(Status.DIAGNOSED, (0.06, 0.05, 0.89))


@pytest.fixture(scope="session")
def indeterminate() -> PatientDiagnosis:
    reason = (
        "The leading answer, bacterial pneumonia, has a probability of 48%; below 60% this model "
        "was not reliable on its validation patients."
    )
    return answered(Status.INDETERMINATE, (0.41, 0.48, 0.11), reasons=(reason,))


@pytest.fixture(scope="session")
def refused() -> PatientDiagnosis:
    reason = (
        "No slice shows complete lungs, a diagnosis needs a chest CT: send another series of "
        "this study."
    )
    return answered(
        Status.REFUSED,
        (0.962, 0.031, 0.007),
        reasons=(reason,),
        probabilities={},
        diagnosis=None,
        flags=(QualityFlag("no_lungs", reason, blocks=True), GAP),
    )


@pytest.fixture(scope="session")
def ct_context() -> ReportContext:
    return context(ct_volume())


@pytest.fixture(scope="session")
def draw_keys() -> Callable[[PatientDiagnosis], tuple[KeySlice, ...]]:
    """Makes the key slices that a diagnosis names, on a drawn chest."""
    return key_slices_of


@pytest.fixture(scope="session")
def make_context() -> Callable[[Volume | None], ReportContext]:
    """Makes what a report has to know, for any volume."""
    return context


@pytest.fixture(scope="session")
def make_ct() -> Callable[[str], Volume]:
    """Makes a CT volume whose series bears a description."""
    return ct_volume
