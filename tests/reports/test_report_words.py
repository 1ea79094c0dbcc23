"""What a report says of details, of pictures without a place, and of a hospital's own labels."""

from collections.abc import Callable
from dataclasses import replace
from html import unescape

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw

from deeppneumonia.domain import KeySlice, PatientDiagnosis, SaliencyMap, Volume
from deeppneumonia.reports import (
    ReportContext,
    compose,
    draw_key_slice,
    render_html,
    render_pdf,
    to_png,
)
from deeppneumonia.reports import figures as drawing

Keys = Callable[[PatientDiagnosis], tuple[KeySlice, ...]]


def weak(diagnosis: PatientDiagnosis) -> PatientDiagnosis:
    """The same answer; its details have the small shares that DRE-Net's heads give."""
    slices = tuple(
        replace(one, details=tuple(replace(detail, weight=0.18) for detail in one.details))
        for one in diagnosis.slices
    )
    return replace(diagnosis, slices=slices)


def test_a_weight_below_the_level_does_not_contradict_that_the_detail_reached_it(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    diagnosis = weak(covid)
    document = compose(diagnosis, draw_keys(diagnosis), ct_context)
    assert document.key_findings[0].details[0].weight == "0.18"
    assert document.findings[-1] == (
        "18 details on 9 of 13 slices, each alone speaks for a disease with 0.80 or more."
    )


def test_one_detail_is_one_on_paper_too(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    single = tuple(replace(one, details=one.details[:1]) for one in covid.slices)
    diagnosis = replace(covid, slices=single)
    keys = draw_keys(diagnosis)
    document = compose(diagnosis, keys, ct_context)
    shown = [
        to_png(draw_key_slice(key, finding, document.geometry))
        for key, finding in zip(keys, document.key_findings, strict=True)
    ]
    sheets = pypdfium2.PdfDocument(render_pdf(document, shown))
    said = " ".join(sheet.get_textpage().get_text_range() for sheet in sheets)
    assert "Detail 1: weight" in said and "Details 1: weight" not in said


def test_details_are_said_to_speak_for_the_disease_of_their_own_slice(
    healthy: PatientDiagnosis, covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    # The first slice is read as COVID-19, the patient as healthy.
    mixed = replace(healthy, slices=(covid.slices[0], *healthy.slices[1:]))
    first, second, _ = compose(mixed, draw_keys(mixed), ct_context).key_findings
    assert "each alone speaks for COVID-19 pneumonia with 0.80 or more" in first.details_caption
    assert second.details_caption.startswith(
        "No detail alone speaks for a disease with 0.80 or more: no box is drawn."
    )


def test_pictures_that_came_by_name_are_not_said_to_run_from_feet_to_head(
    covid: PatientDiagnosis,
    draw_keys: Keys,
    make_ct: Callable[[str], Volume],
    make_context: Callable[[Volume], ReportContext],
) -> None:
    for known in (True, False):
        context = make_context(replace(make_ct("x"), has_geometry=known))
        document = compose(covid, draw_keys(covid), context)
        png = to_png(np.zeros((8, 8, 3), np.uint8))
        page = unescape(render_html(document, [png] * 3))
        paper = "".join(
            sheet.get_textpage().get_text_range()
            for sheet in pypdfium2.PdfDocument(render_pdf(document, [png] * 3))
        )
        for said in (page, paper):
            assert ("feet" in said, "lower" in said) == (known, known)
            assert "All slices, first to last" in said or known


def test_a_long_label_in_its_own_letters_stays_clear_of_the_legend_beside_it(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    label = "bakterielle Lungenentzündung der Unterlappen beidseits"
    draw = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    text = drawing._fitting(draw, f"Grad-CAM: evidence for {label}", 400)
    assert text.startswith("Grad-CAM: evidence for bakterielle Lungenentzü")
    assert text.endswith("...")
    key = draw_keys(covid)[0]
    key = replace(key, saliency=SaliencyMap(6, label, np.ones((512, 512), np.float32)))
    document = compose(covid, (key, *draw_keys(covid)[1:]), ct_context)
    picture = draw_key_slice(key, document.key_findings[0], document.geometry)
    # Between the two texts of the line there is a gap: two margins without a light pixel.
    line = picture[drawing.PANEL_PX + 8 : drawing.PANEL_PX + 32, drawing.PANEL_PX + 8 :]
    dark = (line.max(axis=(0, 2)) < 60).astype(int)
    inner = "".join(map(str, dark[20:600]))
    assert "1" * drawing.MARGIN_PX in inner.strip("1")


def test_the_published_labels_are_written_whole_on_a_narrow_picture_too(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    key = replace(
        draw_keys(covid)[0],
        grey=np.full((512, 200), 60, np.uint8),
        lung_mask=np.ones((512, 200), np.bool_),
        saliency=SaliencyMap(6, "covid", np.ones((512, 200), np.float32)),
    )
    document = compose(covid, (key, *draw_keys(covid)[1:]), ct_context)
    width = draw_key_slice(key, document.key_findings[0], document.geometry).shape[1]
    draw = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    texts = ("Grad-CAM: evidence for COVID-19 pneumonia", "box: detail and its weight (6)")
    needed = sum(draw.textlength(text, drawing._font(17, text)) for text in texts)
    assert needed + 3 * drawing.MARGIN_PX <= (width - drawing.GAP_PX) / 2
