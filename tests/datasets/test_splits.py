"""Splits: no patient on two sides, and every label and site in its share."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppneumonia.datasets import Manifest, ManifestRow, grouped_folds, split_by_patient
from deeppneumonia.errors import ManifestError


def manifest_of(people: dict[tuple[str, str], list[int]]) -> Manifest:
    """A manifest with, for each (label, site), patients who have so many pictures each."""
    rows = [
        (label, site, f"{label}-{site}-{number}")
        for (label, site), pictures in people.items()
        for number, count in enumerate(pictures)
        for _ in range(count)
    ]
    return Manifest(
        tuple(
            ManifestRow(line=line, path=f"{line}.png", patient_id=patient, label=label, site=site)
            for line, (label, site, patient) in enumerate(rows, start=2)
        ),
        Path(),
        "",
    )


PEOPLE = st.dictionaries(
    st.tuples(st.sampled_from(["covid", "bacterial"]), st.sampled_from("ABC")),
    st.lists(st.integers(1, 5), min_size=3, max_size=30),
    min_size=1,
)


@settings(deadline=None, max_examples=60)
@given(PEOPLE, st.integers(0, 9))
def test_no_patient_is_in_two_splits_and_shares_hold_within_one(
    people: dict[tuple[str, str], list[int]], seed: int
) -> None:
    split = split_by_patient(manifest_of(people), seed=seed)
    parts = {patient: {row.split for row in rows} for patient, rows in split.patients.items()}
    assert all(len(names) == 1 for names in parts.values())
    for (label, site), pictures in people.items():
        found = Counter(
            rows[0].split
            for rows in split.patients.values()
            if (rows[0].label, rows[0].site) == (label, site)
        )
        for name, fraction in {"train": 0.6, "validation": 0.1, "test": 0.3}.items():
            assert abs(found[name] - fraction * len(pictures)) <= 1 + 1e-9


@settings(deadline=None, max_examples=30)
@given(PEOPLE, st.integers(0, 9))
def test_every_label_is_in_every_split(people: dict[tuple[str, str], list[int]], seed: int) -> None:
    split = split_by_patient(manifest_of(people), seed=seed)
    for label in {label for label, _ in people}:
        names = {row.split for row in split.rows if row.label == label}
        assert names == {"train", "validation", "test"}


def test_a_part_without_a_patient_is_given_one_from_a_site_that_has_one_to_give() -> None:
    people = {("covid", "A"): [1], ("covid", "B"): [1] * 4}
    names, fractions = "abcde", (0.09, 0.71, 0.03, 0.12, 0.05)
    split = split_by_patient(manifest_of(people), seed=0, names=names, fractions=fractions)
    assert sorted(row.split for row in split.rows) == list(names)


def test_the_published_shares_come_out_for_the_published_numbers_of_patients() -> None:
    people = {("covid", "w"): [1] * 90, ("bacterial", "w"): [1] * 100, ("healthy", "w"): [1] * 80}
    found = Counter(
        (row.label, row.split) for row in split_by_patient(manifest_of(people), seed=1).rows
    )
    assert found["covid", "train"], found["covid", "test"] == (54, 27)
    assert found["bacterial", "validation"] == 10
    assert found["healthy", "train"] == 48


def test_the_split_does_not_depend_on_the_order_of_the_rows() -> None:
    manifest = manifest_of({("covid", "A"): [2] * 20, ("healthy", "B"): [3] * 11})
    shuffled = manifest.with_rows(random.Random(5).sample(manifest.rows, len(manifest.rows)))
    once, again = (split_by_patient(each, seed=3) for each in (manifest, shuffled))
    assert {row.path: row.split for row in once.rows} == {row.path: row.split for row in again.rows}


def test_another_seed_gives_another_split() -> None:
    manifest = manifest_of({("covid", "A"): [1] * 20})
    assert split_by_patient(manifest, seed=1).rows != split_by_patient(manifest, seed=2).rows


def test_a_label_with_too_few_patients_is_named() -> None:
    manifest = manifest_of({("covid", "A"): [1] * 9, ("bacterial", "A"): [5, 5]})
    with pytest.raises(ManifestError, match=r"'bacterial' has 2 patients.*3 parts"):
        split_by_patient(manifest, seed=0)


def test_a_patient_with_two_labels_is_not_split() -> None:
    manifest = manifest_of({("covid", "A"): [1] * 9})
    odd = ManifestRow(line=99, path="odd.png", patient_id="covid-A-0", label="healthy")
    with pytest.raises(ManifestError, match="Lines 2 and 99"):
        split_by_patient(manifest.with_rows([*manifest.rows, odd]), seed=0)


def test_fractions_that_do_not_make_one_are_a_bad_argument() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_patient(manifest_of({("covid", "A"): [1] * 9}), seed=0, fractions=(0.5, 0.1, 0.1))


@settings(deadline=None, max_examples=30)
@given(PEOPLE, st.integers(3, 3), st.integers(0, 9))
def test_folds_test_every_row_once_and_never_share_a_patient(
    people: dict[tuple[str, str], list[int]], count: int, seed: int
) -> None:
    manifest = manifest_of(people)
    folds = grouped_folds(manifest, count, seed)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(manifest.rows)))
    for fold in folds:
        sides = [
            {manifest.rows[index].patient_id for index in part}
            for part in (fold.train, fold.validation, fold.test)
        ]
        assert sum(len(side) for side in sides) == len(manifest.patients) == len(set.union(*sides))


def test_five_folds_need_five_patients_of_each_label() -> None:
    with pytest.raises(ManifestError, match="'covid' has 4 patients"):
        grouped_folds(manifest_of({("covid", "A"): [1] * 4}), 5, seed=0)
