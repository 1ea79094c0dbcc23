"""What trust.html says in words, from the numbers alone."""

from typing import Any

from deeppneumonia.reports.trust_page import TrustPage
from deeppneumonia.workflows.trust_findings import trust_page

WHOLE = {"value": 0.9, "low": 0.8, "high": 1.0}
OF_ONE_PATIENT = {"value": 1.0, "low": None, "high": None}
COUNTS = ("answered", "refused", "open_check", "open_distance", "open_weak_lead", "patients")
ANSWERS: dict[str, Any] = {
    **dict.fromkeys(COUNTS, 10),
    "answered_share_by_checks_and_distance": 1.0,
    "distance_limit": 5.0,
    "error_of_answered": 0.2,
    "error_of_all": 0.2,
    "risk_coverage": {},
}


def sentences(as_it_is: dict[str, Any], blacked_out: dict[str, Any]) -> tuple[str, ...]:
    """The grave ones, where only these two figures were measured."""
    return page_of(as_it_is, blacked_out).grave


def page_of(as_it_is: dict[str, Any], blacked_out: dict[str, Any], patients: int = 10) -> TrustPage:
    return trust_page(
        {
            "pictures": {
                "as_it_is": as_it_is,
                "without": {"outside_only": blacked_out},
                "of": {"outside_only": {"patients": patients, "as_it_is": as_it_is}},
                "curves": {},
                "patients": 10,
            },
            "features": {
                "label": "-", "label_permuted": "-", "site": "-", "leave_one_site_out": {}
            },
            "sites": {},
            "abstention": ANSWERS,
            "checkpoint": {"model": "drenet", "sha256": "0"},
            "manifest_sha256": "0",
        }
    )  # fmt: skip


def test_one_patient_of_a_class_shows_nothing_better_than_chance() -> None:
    (sentence,) = sentences(OF_ONE_PATIENT, OF_ONE_PATIENT)
    assert sentence.startswith("It is not shown to beat chance here (AUC 1.00 with whole")


def test_a_control_of_one_patient_does_not_reassure() -> None:
    (sentence,) = sentences(WHOLE, OF_ONE_PATIENT)
    assert sentence.startswith("Whether it needs lung tissue is not shown")


def test_chance_is_only_said_where_the_interval_holds_it() -> None:
    above, holding = (
        page_of(WHOLE, {"value": 0.75, "low": 0.58, "high": 0.9}),
        page_of(WHOLE, {"value": 0.55, "low": 0.45, "high": 0.65}),
    )
    assert any("still knows somewhat more than chance" in sentence for sentence in above.fine)
    assert any("is not shown to know better than chance" in sentence for sentence in holding.fine)


def test_a_view_of_some_patients_is_set_beside_the_whole_pictures_of_these_alone() -> None:
    blacked_out = {"value": 0.6, "low": 0.4, "high": 0.8}
    page = page_of(WHOLE, blacked_out, patients=4)
    who = "4 of 10 patients, the others' are cut to the lung"
    assert page.fine[0].endswith(f"with the whole picture 0.90 ({who}).")
    assert page.tables[0].lines[1].meaning.endswith(f"; {who}")
    assert "of 10 patients" not in " ".join(page_of(WHOLE, blacked_out).fine)
