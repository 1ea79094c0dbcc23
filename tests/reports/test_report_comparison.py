"""The tables of a comparison say what the numbers say, and no more."""

import csv
import io
from typing import Any

import pytest

from deeppneumonia.reports.comparison import comparison_csv, comparison_markdown


def metric(value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high}


def network(auc: float, against: dict[str, Any] | None = None) -> dict[str, Any]:
    names = ("recall", "precision", "f1", "accuracy", "ece", "specificity", "pr_auc", "brier")
    level = {"auc": metric(auc, auc - 0.05, auc + 0.04)} | {name: metric(0.5) for name in names}
    level["per_class"] = {"covid": {"recall": metric(0.25, 0.125, 0.375)}}
    points = {"sensitivity": metric(0.9, 0.8, 1.0), "specificity": metric(None)}
    return {
        "patient": level,
        "slice": level,
        "refused_patients": 1,
        "confusion": [[1, 0], [0, 1]],
        "fold_auc": [0.9, None, 0.8],
        "mean_fold_auc": metric(0.85, 0.75, 0.95),
        "operating_points": [{"target": 0.9, **points}],
        "against": against or {},
    }


AGAINST = {
    "resnet50": {
        "auc": {"difference": 0.06, "low": -0.01, "high": 0.13, "p_value": 0.0004},
        "mean_fold_auc": {"difference": 0.02, "low": -0.03, "high": 0.07, "p_value": 0.4},
        "errors": {"only_first_right": 7, "only_second_right": 2, "p_value": 0.18},
    }
}


@pytest.fixture
def numbers() -> dict[str, Any]:
    part = {
        "classes": ["covid", "bacterial"],
        "patients": {"covid": 63, "bacterial": 70},
        "slices": {"answered": 1100, "total": 1148},
        "answers_each": 1,
        "networks": {"resnet50": network(0.9), "drenet": network(0.96, AGAINST)},
    }
    cost = {
        "model": "resnet50", "commits": ["abc"], "start": "ct.safetensors",
        "parameters": 23_512_130,
        "gmac": 16.4, "picture_px": 448, "seconds_per_patient": 1.234, "slices_per_patient": 8.3,
        "hours": 2.5, "devices": ["cpu, 2 threads"],
    }  # fmt: skip
    return {
        "name": "toy",
        "classes": ["covid", "bacterial"],
        "patients": {"covid": 63, "bacterial": 70},
        "folds": 5,
        "repeats": 2,
        "sites": ["song2021"],
        "sets": {"test": part, "external far": {**part, "answers_each": 10}},
        "costs": {"resnet50": cost, "drenet": {**cost, "start": None}},
    }


def test_a_row_names_the_network_its_start_and_its_intervals(numbers: dict[str, Any]) -> None:
    text = comparison_markdown(numbers, {"roc": "roc.png"})
    assert "| resnet50 | ct.safetensors | 0.900 (0.85-0.94) | 0.850 (0.75-0.95) | 0.500 |" in text
    assert "| drenet | from scratch | 0.960 (0.91-1.00) |" in text
    assert "dealt 2 times" in text and "1 of the patients got no answer" in text
    assert "![ROC of all networks](roc.png)" in text
    assert "| resnet50 | resnet50 | 23.5 | 448 | 16.40 | 1.23 | 8.3 | 2.50 |" in text


def test_paired_tests_stand_with_their_difference_and_their_reference(
    numbers: dict[str, Any],
) -> None:
    text = comparison_markdown(numbers, {})
    pooled, within = "+0.060 (-0.010 to +0.130) | < 0.001", "+0.020 (-0.030 to +0.070) | 0.400"
    assert f"| drenet | {pooled} | {within} | 7 | 2 | 0.180 |" in text
    assert "not corrected for their number" in text


def test_what_is_not_defined_is_a_dash(numbers: dict[str, Any]) -> None:
    assert "| drenet | 0.900 (0.80-1.00) | - |" in comparison_markdown(numbers, {})


def test_external_patients_are_said_to_be_in_no_training(numbers: dict[str, Any]) -> None:
    text = comparison_markdown(numbers, {}).partition("#### External: far")[2]
    assert "Nothing was trained on them" in text and "10 networks of the folds" in text
    assert "image level" not in text


def test_every_table_has_as_many_cells_in_each_row(numbers: dict[str, Any]) -> None:
    for block in comparison_markdown(numbers, {}).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_csv_has_a_row_for_each_number(numbers: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(numbers))))
    found = {
        (row["set"], row["level"], row["network"], row["metric"]): (row["value"], row["low"])
        for row in rows
    }
    assert len(found) == len(rows)
    assert found["test", "patient", "drenet", "auc"] == ("0.96", "0.91")
    assert found["test", "slice", "resnet50", "recall covid"] == ("0.25", "0.125")
    assert found["test", "patient", "drenet", "auc minus resnet50"] == ("0.06", "-0.01")
    assert found["test", "patient", "drenet", "p DeLong against resnet50"] == ("0.0004", "")
    assert found["test", "fold", "drenet", "auc 2"] == ("", "")
    assert found["test", "fold", "drenet", "auc"] == ("0.85", "0.75")
    assert found["test", "fold", "drenet", "auc minus resnet50"] == ("0.02", "-0.03")
    assert found["", "cost", "drenet", "gmac"] == ("16.4", "")
