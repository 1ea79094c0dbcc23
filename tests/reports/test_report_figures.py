"""Key-slice pictures show what the network used, and nothing where it used nothing."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import Box, Detail, KeySlice, PatientDiagnosis, SaliencyMap
from deeppneumonia.reports import ReportContext, compose, draw_key_slice, to_png
from deeppneumonia.reports.figures import GAP_PX, PANEL_PX, heat_colours
from deeppneumonia.reports.palette import BOX_RGB

Keys = Callable[[PatientDiagnosis], tuple[KeySlice, ...]]


def drawn(
    key: KeySlice, diagnosis: PatientDiagnosis, context: ReportContext, keys: Keys
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The left and the right panel."""
    document = compose(diagnosis, keys(diagnosis), context)
    finding = replace(
        document.key_findings[0], heat_title="" if key.saliency is None else "COVID-19 pneumonia"
    )
    picture = draw_key_slice(key, finding, document.geometry)[:PANEL_PX]
    start = PANEL_PX + GAP_PX
    return picture[:, :PANEL_PX], picture[:, start : start + PANEL_PX]


def boxes_in(panel: NDArray[np.uint8]) -> int:
    """How many separate things are drawn in the colour of boxes."""
    painted = (panel == np.array(BOX_RGB)).all(axis=2).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(painted)
    # 200 px: a letter's inside cut from its chip is smaller, the smallest frame is larger.
    return int((stats[1:, cv2.CC_STAT_AREA] >= 200).sum())


def with_boxes(key: KeySlice, count: int) -> KeySlice:
    boxes = [Box(60 + 90 * n, 200, 110 + 90 * n, 250) for n in range(count)]
    details = tuple(Detail(box, 0.9) for box in boxes)
    return replace(key, prediction=replace(key.prediction, details=details))


def test_as_many_boxes_are_drawn_as_there_are_details(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = replace(draw_keys(covid)[0], saliency=None)
    for count in range(5):
        left, right = drawn(with_boxes(key, count), covid, ct_context, draw_keys)
        assert (boxes_in(left), boxes_in(right)) == (0, count)


def test_a_box_lies_where_its_detail_lies(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = replace(draw_keys(covid)[0], saliency=None)
    _, right = drawn(with_boxes(key, 1), covid, ct_context, draw_keys)
    painted = np.argwhere((right == np.array(BOX_RGB)).all(axis=2))
    scale = PANEL_PX / 512
    assert abs(painted[:, 0].max() - 250 * scale) <= 1  # whole pixels
    assert abs(painted[:, 1].min() - 60 * scale) <= 1


def test_without_heat_and_details_both_panels_are_the_same(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = with_boxes(draw_keys(covid)[0], 0)
    empty = SaliencyMap(6, "covid", np.zeros((512, 512), np.float32))
    for saliency in (None, empty):
        left, right = drawn(replace(key, saliency=saliency), covid, ct_context, draw_keys)
        assert np.array_equal(left, right)


def test_a_heat_map_colours_only_where_there_is_heat(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = with_boxes(draw_keys(covid)[0], 0)
    heat = np.zeros((512, 512), np.float32)
    heat[300:360, 100:160] = 1
    hot = replace(key, saliency=SaliencyMap(6, "covid", heat))
    left, right = drawn(hot, covid, ct_context, draw_keys)
    changed = np.argwhere((left != right).any(axis=2)) * 512 / PANEL_PX
    # 2: one source pixel of interpolation, one of rounding.
    assert np.abs(changed.min(axis=0) - [300, 100]).max() <= 2
    assert np.abs(changed.max(axis=0) - [360, 160]).max() <= 2


def test_a_box_beyond_the_edge_keeps_all_its_sides(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = draw_keys(covid)[0]
    edge = (Detail(Box(-40, 180, 60, 600), 0.9),)
    far = replace(key, saliency=None, prediction=replace(key.prediction, details=edge))
    _, right = drawn(far, covid, ct_context, draw_keys)
    painted = (right == np.array(BOX_RGB)).all(axis=2)
    assert painted[-6:].any() and painted[:, :6].any()


def test_slices_of_any_shape_fit_their_sheet(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(covid, draw_keys(covid), ct_context)
    key = with_boxes(draw_keys(covid)[0], 1)
    for rows, columns in ((512, 512), (300, 700), (900, 400), (1024, 1024)):
        grey = np.full((rows, columns), 90, np.uint8)
        heat = SaliencyMap(6, "covid", np.ones((rows, columns), np.float32))
        odd = replace(key, grey=grey, lung_mask=grey > 0, saliency=heat)
        picture = draw_key_slice(odd, document.key_findings[0], document.geometry)
        assert max(picture.shape[:2]) <= 2 * PANEL_PX + GAP_PX
        assert to_png(picture).startswith(b"\x89PNG")


def test_heat_colours_grow_brighter_with_heat() -> None:
    ramp = heat_colours(np.linspace(0, 1, 50, dtype=np.float32)[None])
    brightness = ramp[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > 0).all()


def test_of_a_slice_far_wider_than_a_chest_the_chest_is_shown(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(covid, draw_keys(covid), ct_context)
    assert document.geometry is not None
    wide = replace(document.geometry, row_mm=1.25, column_mm=1.25)  # 640 mm, as PET-CT has it
    lung = np.zeros((512, 512), np.bool_)
    lung[200:300, 150:350] = True  # shown with 48 pixels around it: 196 rows, 296 columns
    heat = np.zeros((512, 512), np.float32)
    heat[220:240, 180:200] = 1
    key = replace(draw_keys(covid)[0], lung_mask=lung, saliency=SaliencyMap(6, "covid", heat))
    detail = (Detail(Box(202, 252, 252, 292), 0.9),)
    key = replace(key, prediction=replace(key.prediction, details=detail))
    picture = draw_key_slice(key, document.key_findings[0], wide)
    scale = PANEL_PX / 296
    height, start = round(196 * scale), PANEL_PX + GAP_PX
    assert picture.shape[1] == 2 * PANEL_PX + GAP_PX
    left, right = picture[:height, :PANEL_PX], picture[:height, start:]
    boxed = np.argwhere((right == np.array(BOX_RGB)).all(axis=2))
    assert np.abs(boxed.max(axis=0) - np.array([292 - 152, 252 - 102]) * scale).max() <= 3
    changed = np.argwhere((left != right).any(axis=2))
    assert np.abs(changed.min(axis=0) - np.array([220 - 152, 180 - 102]) * scale).max() <= 5
    whole = draw_key_slice(key, document.key_findings[0], document.geometry)
    assert whole.shape[0] > picture.shape[0]


def test_a_label_of_ones_own_is_drawn_in_its_own_letters(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = draw_keys(covid)[0]
    document = compose(covid, draw_keys(covid), ct_context)

    def legend(label: str) -> bytes:
        finding = replace(document.key_findings[0], heat_title=label)
        return draw_key_slice(key, finding, document.geometry)[PANEL_PX:].tobytes()

    for label in ("Пневмония", "Πνευμονία", "entzündet"):
        others = ("?" * len(label), "П" * len(label), "entzundet")
        assert legend(label) not in {legend(one) for one in others}
    assert legend("肺炎") == legend("??")
