"""What was checked and what was found stands in two lines of every report."""

from dataclasses import replace

import pypdfium2
import pytest

from deeppneumonia.domain import PatientDiagnosis, QualityFlag
from deeppneumonia.reports import ReportContext
from deeppneumonia.reports.composition import compose
from deeppneumonia.reports.html import render_html
from deeppneumonia.reports.pdf import render_pdf
from deeppneumonia.reports.trust import trust_lines
from deeppneumonia.reports.trust_page import Curve, TrustPage, render_trust

KNOWN = {"checked": ["lungs", "body region"], "distance": 1.234, "limit": 2.5}
UNKNOWN = {"checked": ["lungs"], "distance": None, "limit": None}


def with_trust(diagnosis: PatientDiagnosis, trust: object, **changes: object) -> PatientDiagnosis:
    quality = {**diagnosis.quality, "trust": trust}
    return replace(diagnosis, quality=quality, **changes)  # type: ignore[arg-type]


def test_two_lines_say_what_was_checked_and_found(healthy: PatientDiagnosis) -> None:
    checked, found = trust_lines(with_trust(healthy, KNOWN))
    assert checked.value == "Lungs, body region and likeness to the training patients."
    assert found.value.startswith("Nothing unusual. Distance from the training patients: 1.23")


def test_what_could_not_be_checked_is_said(healthy: PatientDiagnosis) -> None:
    checked, found = trust_lines(with_trust(healthy, UNKNOWN))
    assert "likeness" not in checked.value
    assert "Not checked: likeness to the training patients" in found.value


def test_doubts_and_remarks_are_counted_apart(healthy: PatientDiagnosis) -> None:
    flags = (
        QualityFlag("contrast_medium", "Contrast medium.", leaves_open=True),
        QualityFlag("slices_dropped", "Dropped."),
        QualityFlag("one_lung", "One."),
    )
    _, found = trust_lines(with_trust(healthy, KNOWN, flags=flags))
    assert found.value.startswith("1 reason to leave the answer open and 2 remarks, above.")


def test_a_refusal_counts_its_reasons_and_claims_no_distance(refused: PatientDiagnosis) -> None:
    _, found = trust_lines(with_trust(refused, UNKNOWN))
    assert found.value == "1 reason not to answer."


def test_a_study_that_was_never_read_has_no_such_lines(refused: PatientDiagnosis) -> None:
    assert trust_lines(replace(refused, quality={})) == ()


@pytest.mark.parametrize(("worst", "top"), [(0.0, 0.2), (0.28, 0.4), (0.6, 0.6), (1.0, 1.0)])
def test_no_share_of_wrong_answers_is_above_all_of_them(worst: float, top: float) -> None:
    page = TrustPage(
        headline="", status="clean", grave=(), fine=(), tables=(), abstention=(),
        curves=(Curve("least confident first", ((0.1, worst), (1.0, 0.0)), 0.1),), provenance=(),
    )  # fmt: skip
    assert page.highest_risk == top
    assert f">{100 * top:.0f}%</text>" in render_trust(page)


def test_both_lines_stand_on_the_page_and_on_paper(
    healthy: PatientDiagnosis, ct_context: ReportContext
) -> None:
    diagnosis = with_trust(healthy, KNOWN, key_slices=())
    document = compose(diagnosis, (), ct_context)
    page = render_html(document, [])
    paper = pypdfium2.PdfDocument(render_pdf(document, []))
    text = " ".join(paper[n].get_textpage().get_text_range() for n in range(len(paper)))
    for words in ("Checked", "body region and likeness", "1.23, where 1 is typical"):
        assert words in page
        assert words in " ".join(text.split())
