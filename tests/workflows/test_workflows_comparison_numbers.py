"""Numbers of stored answers, against values worked out by hand."""

import numpy as np
import pytest

from deeppneumonia.errors import ConfigError
from deeppneumonia.reports.comparison import comparison_markdown
from deeppneumonia.workflows.comparison_numbers import comparison_numbers, patient_answers
from deeppneumonia.workflows.comparison_store import Comparison, SetAnswers

# Six patients with two slices each: a, b, c are ill, x, y, z are well; c and z in the south.
PATIENTS = [name for name in "abcxyz" for _ in range(2)]
LABELS = np.repeat([0, 0, 0, 1, 1, 1], 2)
SITES = [{"c": "south", "z": "south"}.get(name, "north") for name in PATIENTS]
FOLDS = np.array([[1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3]])


def answers(
    *ill: float, temperature: float = 1.0, thresholds: tuple[float, float] = (0.5, 0.25)
) -> SetAnswers:
    """One repeat in which both slices of a patient say the same."""
    p = np.repeat(ill, 2)
    return SetAnswers(
        labels=LABELS,
        patients=list(PATIENTS),
        sites=SITES,
        slices=np.stack([p, 1 - p], axis=1)[None],
        temperatures=np.full((1, 12), temperature),
        thresholds=np.tile(np.array(thresholds), (1, 12, 1)),
        folds=FOLDS,
    )


def compared(**networks: SetAnswers) -> Comparison:
    turns = [{"model": "m", "commit": "c", "repeat": 1, "fold": fold} for fold in (1, 2, 3)]
    named = {name.replace("_", "-"): found for name, found in networks.items()}
    facts = {
        "name": "toy",
        "classes": ["ill", "well"],
        "sites": ["north", "south"],
        "networks": {name: {"turns": turns} for name in named},
    }
    return Comparison(facts, {name: {"test": found} for name, found in named.items()})


GOOD = answers(0.9, 0.8, 0.7, 0.3, 0.2, 0.1)
POOR = answers(0.9, 0.8, 0.2, 0.6, 0.2, 0.1)  # ranks 8 of 9 pairs right, c and x wrong


def test_patients_are_pooled_over_the_folds() -> None:
    tested = comparison_numbers(compared(resnet50=GOOD, six_statistics=POOR))["sets"]["test"]
    poor = tested["networks"]["six-statistics"]
    # pairs: c (0.2) loses to x (0.6), ties y (0.2): 7.5 of 9
    assert poor["patient"]["auc"]["value"] == pytest.approx(7.5 / 9)
    assert poor["patient"]["recall"]["value"] == pytest.approx(2 / 3)
    assert poor["patient"]["accuracy"]["value"] == pytest.approx(4 / 6)
    assert poor["confusion"] == [[2, 1], [1, 2]]
    assert poor["fold_auc"] == [1, 1, 1]  # a-x, b-y, c-z: each fold alone is ranked right
    assert poor["mean_fold_auc"] == {"value": 1, "low": None, "high": None}  # one pair a fold
    assert tested["patients"] == {"ill": 3, "well": 3}
    assert tested["slices"] == {"answered": 12, "total": 12}


def test_every_network_is_tested_against_resnet50_and_six_statistics() -> None:
    found = comparison_numbers(compared(resnet50=GOOD, six_statistics=POOR, other=POOR))
    networks = found["sets"]["test"]["networks"]
    assert set(networks["resnet50"]["against"]) == {"six-statistics"}
    assert set(networks["other"]["against"]) == {"resnet50", "six-statistics"}
    against = networks["resnet50"]["against"]["six-statistics"]
    assert against["auc"]["difference"] == pytest.approx(1.5 / 9)
    assert against["errors"] == {"only_first_right": 2, "only_second_right": 0, "p_value": 0.5}
    assert networks["other"]["against"]["six-statistics"]["auc"]["p_value"] == 1


def test_within_a_hospital_only_its_patients_count() -> None:
    sets = comparison_numbers(compared(resnet50=GOOD, six_statistics=POOR))["sets"]
    assert list(sets) == ["test", "within north"], "one ill and one well patient are no table"
    north = sets["within north"]
    assert north["patients"] == {"ill": 2, "well": 2}
    # Without c and z: all pairs right, x (0.6) wrongly called ill.
    assert north["networks"]["six-statistics"]["patient"]["auc"]["value"] == 1
    assert north["networks"]["six-statistics"]["patient"]["accuracy"]["value"] == 0.75


def test_operating_points_are_the_validation_patients_thresholds_on_the_tested() -> None:
    tested = comparison_numbers(compared(resnet50=POOR))["sets"]["test"]
    ninety, ninety_five = tested["networks"]["resnet50"]["operating_points"]
    assert (ninety["target"], ninety_five["target"]) == (0.9, 0.95)
    assert ninety["sensitivity"]["value"] == pytest.approx(2 / 3)  # 0.9, 0.8 of 0.5 or more
    assert ninety["specificity"]["value"] == pytest.approx(2 / 3)  # 0.6 is called ill
    without = answers(0.9, 0.8, 0.7, 0.3, 0.2, 0.1, thresholds=(np.nan, np.nan))
    tested = comparison_numbers(compared(resnet50=without))["sets"]["test"]
    assert tested["networks"]["resnet50"]["operating_points"] == []


def test_each_patient_is_calibrated_by_its_own_folds_temperature() -> None:
    found = answers(0.8, 0.8, 0.8, 0.2, 0.2, 0.2)
    found.temperatures[FOLDS == 2] = 2.0
    by_patient = patient_answers(found, ("ill", "well"))
    # odds of 4 become odds of 2 at temperature 2; b and y are tested in the second fold
    expected = [0.8, 2 / 3, 0.8, 0.2, 1 / 3, 0.2]
    assert by_patient.probabilities[0, :, 0].tolist() == pytest.approx(expected)
    assert by_patient.folds.tolist() == [[1, 2, 3, 1, 2, 3]]


def test_a_patient_without_an_answer_counts_as_undecided() -> None:
    found = answers(0.9, 0.8, 0.7, 0.3, 0.2, 0.1)
    found.slices[0, :2] = np.nan
    found.slices[0, 2] = np.nan  # one slice of b
    tested = comparison_numbers(compared(resnet50=found))["sets"]["test"]
    resnet = tested["networks"]["resnet50"]
    assert resnet["refused_patients"] == 1
    assert resnet["patient"]["accuracy"]["value"] == pytest.approx(5.5 / 6)
    assert tested["slices"] == {"answered": 9, "total": 12}


def test_an_external_set_of_refused_studies_alone_spoils_no_table() -> None:
    refused = answers(0.9, 0.8, 0.7, 0.3, 0.2, 0.1)
    refused.slices[:] = np.nan
    comparison = compared(resnet50=GOOD)
    comparison = Comparison(comparison.facts, {"resnet50": {"test": GOOD, "elsewhere": refused}})
    numbers = comparison_numbers(comparison)
    assert numbers["sets"]["test"]["networks"]["resnet50"]["patient"]["auc"]["value"] == 1
    elsewhere = numbers["sets"]["external elsewhere"]
    assert elsewhere["slices"] == {"answered": 0, "total": 12}
    resnet = elsewhere["networks"]["resnet50"]
    assert resnet["refused_patients"] == 6
    assert resnet["patient"]["auc"]["value"] == 0.5, "all undecided"
    assert resnet["slice"]["auc"] == {"value": None, "low": None, "high": None}
    facts = {"patients": {}, "folds": 3, "repeats": 1, "external": ["elsewhere"], "version": "0"}
    assert "elsewhere" in comparison_markdown({**numbers, **facts}, {})


def test_repeats_are_averaged() -> None:
    twice = SetAnswers(
        labels=LABELS,
        patients=PATIENTS,
        sites=SITES,
        slices=np.concatenate([GOOD.slices, POOR.slices]),
        temperatures=np.ones((2, 12)),
        thresholds=np.full((2, 12, 2), 0.5),
        folds=np.concatenate([FOLDS, FOLDS]),
    )
    resnet = comparison_numbers(compared(resnet50=twice))["sets"]["test"]["networks"]["resnet50"]
    assert resnet["patient"]["auc"]["value"] == pytest.approx((1 + 7.5 / 9) / 2)
    assert resnet["confusion"] == [[2.5, 0.5], [0.5, 2.5]]
    assert len(resnet["fold_auc"]) == 6


def test_networks_that_saw_other_patients_are_not_compared() -> None:
    other = answers(0.9, 0.8, 0.7, 0.3, 0.2, 0.1)
    other.patients[:2] = ["nobody", "nobody"]
    with pytest.raises(ConfigError, match="different patients of test"):
        comparison_numbers(compared(resnet50=GOOD, other=other))


def test_a_hospital_with_two_of_three_classes_is_scored_over_those() -> None:
    labels = np.array([0, 0, 1, 1, 2])
    rows = np.array([[0.4, 0.2, 0.4], [0.5, 0.1, 0.4], [0.2, 0.6, 0.2], [0.3, 0.2, 0.5], [0, 0, 1]])
    found = SetAnswers(
        labels=labels,
        patients=list("abxyh"),
        sites=["north"] * 4 + ["south"],
        slices=rows[None],
        temperatures=np.ones((1, 5)),
        thresholds=np.full((1, 5, 2), 0.5),
        folds=np.array([[1, 2, 1, 2, 3]]),
    )
    north = patient_answers(found, ("covid", "bacterial", "healthy"), "north")
    assert north.classes == ("covid", "bacterial")
    expected = [2 / 3, 5 / 6, 0.25, 0.6]
    assert north.probabilities[0, :, 0].tolist() == pytest.approx(expected)
