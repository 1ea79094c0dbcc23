"""What a report says, on every face of it, and what it must never say."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pypdfium2
import pytest

from deeppneumonia.domain import KeySlice, PatientDiagnosis, Status, Volume
from deeppneumonia.reports import (
    ReportContext,
    ReportDocument,
    compose,
    draw_key_slice,
    render_html,
    render_pdf,
    to_png,
)
from deeppneumonia.reports.wording import PROBABILITY_WORDS, as_percent, in_words

Keys = Callable[[PatientDiagnosis], tuple[KeySlice, ...]]
PERCENT = re.compile(r"\d\s?%")


class _Words(HTMLParser):
    """The words of a page, without its style sheet."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.tags.append(tag)
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.inside:
            self.words.append(data)


def page(document: ReportDocument, keys: tuple[KeySlice, ...]) -> str:
    return render_html(document, pictures(document, keys))


def pictures(document: ReportDocument, keys: tuple[KeySlice, ...]) -> list[bytes]:
    return [
        to_png(draw_key_slice(key, finding, document.geometry))
        for key, finding in zip(keys, document.key_findings, strict=True)
    ]


def words_of(page_text: str) -> str:
    parser = _Words()
    parser.feed(page_text)
    return " ".join(" ".join(parser.words).split())


def words_of_pdf(file: bytes) -> str:
    return " ".join(
        " ".join(
            sheet.get_textpage().get_text_range() for sheet in pypdfium2.PdfDocument(file)
        ).split()
    )


@pytest.fixture(scope="module")
def told(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> tuple[ReportDocument, str, bytes]:
    """A diagnosed patient's document, page and PDF."""
    keys = draw_keys(covid)
    document = compose(covid, keys, ct_context)
    shown = pictures(document, keys)
    return document, render_html(document, shown), render_pdf(document, shown)


def test_a_refusal_shows_its_reason_and_no_probability_anywhere(
    refused: PatientDiagnosis, ct_context: ReportContext
) -> None:
    document = compose(refused, (), ct_context)
    for said in (words_of(page(document, ())), words_of_pdf(render_pdf(document, ()))):
        assert "No slice shows complete lungs" in said
        assert not PERCENT.search(said)
        assert "COVID" not in said


def test_a_refusal_takes_no_key_slice_even_when_slices_were_read(
    refused: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(refused, draw_keys(refused), ct_context)
    assert document.key_findings == () and document.slices == ()


def test_page_and_pdf_follow_the_order_of_a_radiology_report(
    told: tuple[ReportDocument, str, bytes],
) -> None:
    _, html, pdf = told
    parts = ["Technique", "Findings", "Impression", "Quality", "Limits", "Provenance"]
    on_page, on_paper = words_of(html), words_of_pdf(pdf)
    assert sorted(parts, key=on_page.index) == parts
    assert sorted(parts, key=lambda part: on_paper.index(part.upper())) == parts


def test_page_and_pdf_say_the_same_sentences(told: tuple[ReportDocument, str, bytes]) -> None:
    document, html, pdf = told
    on_page, on_paper = words_of(html), words_of_pdf(pdf)
    sentences = [
        *document.findings,
        *document.limits,
        *document.impression.sentences,
        document.impression.headline,
        *(flag.message for flag in document.flags),
        *(fact.value for fact in document.technique),
    ]
    for sentence in sentences:
        assert sentence in on_page
        assert sentence in on_paper


def test_an_answer_gives_each_class_in_words_and_numbers(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    impression = compose(covid, draw_keys(covid), ct_context).impression
    assert impression.headline == "COVID-19 pneumonia: very likely"
    assert impression.sentences == (
        "Of the 3 answers that this model knows, COVID-19 pneumonia is very likely (96%); "
        "bacterial pneumonia is very unlikely (3%) and no pneumonia (healthy lung) is very "
        "unlikely (<1%).",
    )


def test_an_indeterminate_study_names_no_diagnosis_but_its_reason(
    indeterminate: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(indeterminate, draw_keys(indeterminate), ct_context)
    assert document.impression.headline == "No single diagnosis"
    assert document.impression.reasons == indeterminate.reasons
    assert [line.percent for line in document.impression.probabilities] == ["48%", "41%", "11%"]
    assert "likely" not in str(document.impression)


def test_an_answer_below_one_half_is_not_called_less_likely(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    narrow = replace(covid, probabilities={"covid": 0.46, "bacterial": 0.4, "healthy": 0.14})
    impression = compose(narrow, draw_keys(narrow), ct_context).impression
    assert impression.headline == "COVID-19 pneumonia: the most likely, though below one half"
    assert impression.sentences == (
        "Of the 3 answers that this model knows, COVID-19 pneumonia is the most likely, though "
        "below one half (46%); bacterial pneumonia is less likely (40%) and no pneumonia "
        "(healthy lung) is unlikely (14%).",
    )


def test_a_released_model_is_named_by_its_release(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    released = replace(ct_context, release="drenet-9")
    document = compose(covid, draw_keys(covid), released)
    facts = {fact.name: fact.value for fact in (*document.technique, *document.provenance)}
    assert facts["Model"] == f"drenet-9 ({covid.model.name})"
    assert any(
        fact.value.startswith(f"drenet-9 ({covid.model.name}), sha256 ")
        for fact in document.technique
    )


def test_healthy_slices_say_that_nothing_is_drawn(
    healthy: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(healthy, draw_keys(healthy), ct_context)
    assert document.findings[-1] == (
        "No detail alone speaks for a disease with 0.80 or more on any slice, so no box is drawn."
    )
    assert all("no box is drawn" in key.details_caption for key in document.key_findings)
    assert any("does not rule out disease" in limit for limit in document.limits)


def test_every_page_says_that_this_is_no_medical_device(
    told: tuple[ReportDocument, str, bytes],
) -> None:
    _, html, pdf = told
    sheets = pypdfium2.PdfDocument(BytesIO(pdf))
    for number, sheet in enumerate(sheets, start=1):
        said = sheet.get_textpage().get_text_range()
        assert "Research software, not a medical device" in said
        assert f"Page {number}" in said
    assert html.count("Research software, not a medical device") >= 2


def test_the_same_document_gives_the_same_bytes(
    told: tuple[ReportDocument, str, bytes], covid: PatientDiagnosis, draw_keys: Keys
) -> None:
    document, html, pdf = told
    shown = pictures(document, draw_keys(covid))
    assert render_html(document, shown) == html
    assert render_pdf(document, shown) == pdf


def test_a_hostile_series_description_is_text_and_nothing_else(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    hostile = '<script>alert(1)</script> "><img src=x onerror=alert(2)> & <b>胸部</b>'
    keys = draw_keys(covid)
    bad = replace(covid, quality={**covid.quality, "series_description": hostile})
    document = compose(bad, keys, ct_context)
    text = page(document, keys)
    parser = _Words()
    parser.feed(text)
    assert "script" not in parser.tags and "b" not in parser.tags
    assert parser.tags.count("img") == 3
    assert hostile in " ".join(parser.words)
    assert escape("<script>") in text
    assert "<script>alert(1)</script>" in words_of_pdf(
        render_pdf(document, pictures(document, keys))
    )


def test_a_hospitals_own_script_is_printed(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    keys = draw_keys(covid)
    written = "Лёгкие 5 мм, πνεύμονας, 胸部, ハイ, 가슴 \U0001fac1"
    told = {**covid.quality, "series_description": written}
    document = compose(replace(covid, quality=told), keys, ct_context)
    pdf = render_pdf(document, pictures(document, keys))
    assert written.replace("\U0001fac1", "?") in words_of_pdf(pdf)
    assert render_pdf(document, pictures(document, keys)) == pdf


def test_the_page_asks_nothing_of_the_network(told: tuple[ReportDocument, str, bytes]) -> None:
    _, html, _ = told
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)([^"' )>]+)""", html)
    assert outside == []
    assert "http://" not in html and "https://" not in html


def test_pictures_without_geometry_name_no_side(
    covid: PatientDiagnosis,
    draw_keys: Keys,
    make_ct: Callable[[str], Volume],
    make_context: Callable[[Volume], ReportContext],
) -> None:
    flat = make_context(replace(make_ct("x"), has_geometry=False))
    document = compose(covid, draw_keys(covid), flat)
    assert document.geometry is None
    assert {line.place for key in document.key_findings for line in key.details} == {""}
    assert {key.position for key in document.key_findings} == {""}


def test_sides_follow_the_affine_and_not_the_picture(
    covid: PatientDiagnosis,
    draw_keys: Keys,
    make_ct: Callable[[str], Volume],
    make_context: Callable[[Volume], ReportContext],
) -> None:
    volume = make_ct("x")
    mirrored = replace(volume, affine=volume.affine @ np.diag([1.0, 1.0, -1.0, 1.0]))
    first = [
        compose(covid, draw_keys(covid), make_context(one)).key_findings[0].details[0].place
        for one in (volume, mirrored)
    ]
    assert first == ["patient's right", "patient's left"]


def test_a_key_slice_says_where_it_lies_in_the_patient(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    # Slice 6 of a series with 5 mm between slices that starts at z = -412.5 mm.
    first = compose(covid, draw_keys(covid), ct_context).key_findings[0]
    assert first.position == "30 mm above the lowest slice, z = -382.5 mm"


def test_figures_of_single_slices_are_said_to_be_uncalibrated(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    document = compose(covid, draw_keys(covid), ct_context)
    assert all("not calibrated" in key.details_caption for key in document.key_findings)
    assert "not calibrated" in document.chart_caption
    assert any("Those of single slices are not calibrated" in limit for limit in document.limits)


def test_key_slices_that_are_not_those_of_the_diagnosis_are_refused(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    with pytest.raises(ValueError, match=r"key slices must be \(6, 10, 14\), in this order"):
        compose(covid, draw_keys(covid)[::-1], ct_context)


def test_dropped_slices_are_on_the_page_with_their_reason(
    told: tuple[ReportDocument, str, bytes],
) -> None:
    said = words_of(told[1])
    assert "14 slices: 13 read, 1 dropped" in said
    assert "dropped: incomplete lung: 1.6% of the slice" in said


def test_a_study_that_could_not_be_read_still_gets_a_report(
    refused: PatientDiagnosis, make_context: Callable[[Volume | None], ReportContext]
) -> None:
    unreadable = replace(refused, quality={}, flags=(), slices=(), key_slices=())
    document = compose(unreadable, (), make_context(None))
    assert document.status is Status.REFUSED
    assert "No answer from this study" in words_of_pdf(render_pdf(document, ()))


def test_no_label_of_the_pdf_runs_into_its_value(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys
) -> None:
    of_pictures = replace(covid, quality={**covid.quality, "format": "pictures"})
    document = compose(of_pictures, draw_keys(covid), ct_context)
    said = words_of_pdf(render_pdf(document, pictures(document, draw_keys(covid))))
    assert [fact.value for fact in document.provenance if f" {fact.value}" not in said] == []


def test_the_verbal_scale_falls_with_probability_and_covers_it_all() -> None:
    levels = list(PROBABILITY_WORDS)
    assert levels == sorted(levels, reverse=True) and levels[-1] == 0
    assert [in_words(level) for level in levels] == list(PROBABILITY_WORDS.values())


def test_no_percentage_claims_a_step_of_the_scale_that_its_words_do_not() -> None:
    for probability in np.linspace(0.01, 0.99, 9801):
        shown = float(as_percent(probability).removesuffix("%")) / 100
        assert in_words(shown) == in_words(probability)
        assert abs(shown - probability) < 0.01
