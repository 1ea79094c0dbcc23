"""Labels guessed from words and numbers that show no lung."""

import numpy as np
import pytest

from deeppneumonia.evaluation.guessing import encode, guess_labels

LABELS = ["covid", "healthy"] * 12
PATIENTS = [f"p{number}" for number in range(24)]


def guess(evidence: list, labels: list[str] = LABELS, groups: list[str] = PATIENTS):
    return guess_labels(evidence, labels, groups, what="kernel", repeats=200)


def test_a_word_that_goes_with_the_label_gives_it_away_and_is_named() -> None:
    found = guess([{"kernel": "B70" if label == "covid" else "B30"} for label in LABELS])
    assert found.gives_away and found.auc["value"] == 1
    assert found.strongest == "kernel"
    assert {band.name: dict(band.patients) for band in found.bands} == {
        "B30": {"covid": 0, "healthy": 12},
        "B70": {"covid": 12, "healthy": 0},
    }


def test_a_number_that_goes_with_the_label_is_shown_in_quarters_of_the_patients() -> None:
    found = guess([{"level": str(n + 100 * (n % 2))} for n in range(24)])
    assert found.gives_away
    assert [sum(band.patients.values()) for band in found.bands] == [6, 6, 6, 6]
    assert found.bands[0].patients == {"covid": 6, "healthy": 0}
    assert found.bands[-1].patients == {"covid": 0, "healthy": 6}


def test_a_number_with_a_decimal_comma_gives_the_label_away_as_one_with_a_point_does() -> None:
    labels = ["covid"] * 20 + ["healthy"] * 20
    patients = [f"p{number}" for number in range(40)]
    doses = [f"{1 + 0.01 * number + (number >= 20):.2f}" for number in range(40)]
    point, comma = (
        guess_labels(
            [{"dose": one.replace(".", mark)} for one in doses], labels, patients, what="x"
        )
        for mark in ".,"
    )
    assert point.gives_away
    assert comma == point


def test_chance_is_not_a_finding() -> None:
    rng = np.random.default_rng(0)
    found = guess([{"level": repr(value)} for value in rng.normal(size=24)])
    assert found.measured and not found.gives_away


def test_a_value_that_names_each_patient_tells_nothing_about_others() -> None:
    labels = [label for label in LABELS for _ in range(4)]
    groups = [patient for patient in PATIENTS for _ in range(4)]
    found = guess([{"uid": patient} for patient in groups], labels, groups)
    assert found.auc["value"] == pytest.approx(0.5, abs=0.2)
    assert not found.gives_away


@pytest.mark.parametrize(
    ("evidence", "labels", "groups", "reason"),
    [
        ([None, None], ["a", "b"], ["p", "q"], "no row has kernel"),
        ([{"k": "1"}, {"k": "2"}], ["a", "a"], ["p", "q"], "has the label 'a', two are needed"),
        ([{"k": "1"}, {"k": "2"}], ["a", "b"], ["p", "q"], "label 'a' has one patient"),
        ([{"k": "1"}] * 4, ["a", "a", "b", "b"], list("pqrs"), "is the same for every row"),
    ],
    ids=["nothing known", "one class", "one patient", "all alike"],
)
def test_what_cannot_be_measured_says_why(
    evidence: list, labels: list[str], groups: list[str], reason: str
) -> None:
    found = guess(evidence, labels, groups)
    assert not found.measured and not found.gives_away
    assert reason in found.how


def test_words_become_columns_numbers_stay_and_a_blank_number_is_less_than_all() -> None:
    rows = [{"maker": "X", "kvp": word} for word in ("80", "100", "120", "140", "")]
    table, names = encode([*rows, {"maker": "", "kvp": "80"}])
    assert names == ["maker = blank", "maker = X", "kvp"]
    assert table[:, 2].tolist() == [80, 100, 120, 140, 79, 80]
    assert table[:, 0].tolist() == [0, 0, 0, 0, 0, 1]
