"""The object that becomes metrics.json."""

import json

import numpy as np
import pytest

from deeppneumonia.evaluation import Baseline, calibrate, evaluation_report

NAMES = ("covid", "bacterial", "healthy")
REFUSED = [np.nan] * 3


def six_patients() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two slices a patient, two patients a class; one slice and one whole patient refused."""
    labels = np.repeat([0, 0, 1, 1, 2, 2], 2)
    probabilities = np.eye(3)[labels] * 0.7 + 0.1
    probabilities[0] = REFUSED
    probabilities[4:6] = REFUSED
    return labels, probabilities, [f"patient {number // 2}" for number in range(12)]


def test_the_report_goes_into_json_without_nan() -> None:
    report = evaluation_report(*six_patients(), NAMES, repeats=20)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for level in ("slice", "patient", "slice_refusals_as_half", "patient_refusals_as_half"):
        assert set(report[level]["auc"]) == {"value", "low", "high"}
        assert set(report[level]["per_class"]) == set(NAMES)


def test_refusals_are_counted_at_both_levels() -> None:
    report = evaluation_report(*six_patients(), NAMES, repeats=20)
    assert report["counts"]["patient"] == {"covid": 2, "bacterial": 2, "healthy": 2}
    patients, slices = report["coverage"]["patient"], report["coverage"]["slice"]
    assert (patients["answered"], patients["total"]) == (5, 6)
    assert patients["fraction"] == pytest.approx(5 / 6)
    assert (slices["answered"], slices["total"]) == (9, 12)
    assert patients["per_class"]["bacterial"]["fraction"] == 0.5
    assert slices["per_class"]["covid"]["answered"] == 3


def test_a_refusal_counts_as_not_knowing() -> None:
    report = evaluation_report(*six_patients(), NAMES, repeats=20)
    assert report["patient"]["accuracy"]["value"] == 1
    assert report["patient_refusals_as_half"]["accuracy"]["value"] == pytest.approx((5 + 1 / 3) / 6)
    assert report["confusion"]["patient"] == [[2, 0, 0], [0, 1, 0], [0, 0, 2]]


def test_refusals_of_two_classes_stand_at_a_half() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [0.6, 0.4]])
    report = evaluation_report(labels, probabilities, list("abcd"), NAMES[:2], repeats=20)
    assert report["positive_class"] == "covid"
    assert report["patient"]["auc"]["value"] == 1
    # pairs: 0.9 beats both; 0.5 beats 0.2 and loses against 0.6
    assert report["patient_refusals_as_half"]["auc"]["value"] == 3 / 4
    # right: one covid, half of the refused one, one of two bacterial
    assert report["patient_refusals_as_half"]["accuracy"]["value"] == pytest.approx(2.5 / 4)


def test_missing_classes_are_named_and_the_others_renormalised() -> None:
    labels = np.array([0, 2])
    probabilities = np.array([[0.3, 0.6, 0.1], [0.1, 0.6, 0.3]])
    report = evaluation_report(labels, probabilities, ["a", "b"], NAMES, repeats=20)
    assert report["classes"] == ["covid", "healthy"]
    assert report["absent_classes"] == ["bacterial"]
    assert report["renormalised"] is True
    assert report["positive_class"] == "covid"
    assert report["patient"]["accuracy"]["value"] == 1
    assert report["patient"]["brier"]["value"] == pytest.approx(0.25**2)


def test_a_single_class_is_reported_without_ranking() -> None:
    report = evaluation_report(
        np.array([0, 0]), np.array([[0.5, 0.3, 0.2], REFUSED]), ["a", "b"], NAMES, repeats=20
    )
    assert report["renormalised"] is False
    assert report["absent_classes"] == ["bacterial", "healthy"]
    assert report["patient"]["auc"]["value"] is None
    assert report["patient"]["accuracy"]["value"] == 1


def test_the_temperature_moves_the_patients_and_leaves_the_slices() -> None:
    labels = np.array([0, 1])
    probabilities = np.array([[0.8, 0.2], [0.2, 0.8]])
    report = evaluation_report(
        labels, probabilities, ["a", "b"], NAMES[:2], temperature=2.0, repeats=20
    )
    softer = calibrate(probabilities, 2.0)[0, 0]
    assert report["patient"]["brier"]["value"] == pytest.approx((1 - softer) ** 2)
    assert report["slice"]["brier"]["value"] == pytest.approx(0.2**2)


def test_the_baseline_stands_beside_the_network_with_what_the_network_gains() -> None:
    labels, probabilities, groups = six_patients()
    blind = Baseline(probabilities=np.full((12, 3), 1 / 3), how="thrown dice")
    report = evaluation_report(
        labels, probabilities, groups, NAMES, baselines={"six_statistics": blind}, repeats=20
    )
    block = report["baselines"]["six_statistics"]
    assert block["how"] == "thrown dice"
    assert block["patient"]["auc"]["value"] == 0.5
    network = report["patient_refusals_as_half"]["auc"]["value"]
    assert block["patient_auc_gain"]["value"] == pytest.approx(network - 0.5)


def test_nothing_is_gained_over_a_baseline_without_an_answer() -> None:
    labels, probabilities = np.arange(3), np.eye(3) * 0.7 + 0.1
    silent = Baseline(probabilities=np.full((3, 3), np.nan), how="no answer: too few patients")
    report = evaluation_report(
        labels, probabilities, list("abc"), NAMES, baselines={"six_statistics": silent}, repeats=20
    )
    gain = report["baselines"]["six_statistics"]["patient_auc_gain"]
    assert gain == {"value": None, "low": None, "high": None}
    assert report["patient"]["auc"] == {"value": 1, "low": None, "high": None}
    expected = "no intervals: one answered patient of covid, bacterial, healthy"
    assert report["interval"]["remark"] == expected


def test_a_class_whose_patients_were_refused_but_for_one_has_no_interval() -> None:
    report = evaluation_report(*six_patients(), NAMES, repeats=20)
    assert report["interval"]["remark"] == "no intervals: one answered patient of bacterial"
    assert report["patient"]["auc"]["low"] is None
    assert report["patient_refusals_as_half"]["auc"]["low"] is not None


def test_a_test_set_without_any_answer_is_still_reported() -> None:
    labels, probabilities, groups = six_patients()
    report = evaluation_report(
        labels, np.full_like(probabilities, np.nan), groups, NAMES, repeats=20
    )
    assert report["coverage"]["patient"]["fraction"] == 0
    assert report["patient"]["auc"]["value"] is None
    assert report["patient_refusals_as_half"]["auc"]["value"] == 0.5
    assert json.dumps(report, allow_nan=False)
