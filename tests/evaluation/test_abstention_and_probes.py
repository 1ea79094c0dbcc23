"""Withholding doubtful answers, and reading labels out of features."""

import numpy as np
import pytest

from deeppneumonia.evaluation.abstention import risk_coverage
from deeppneumonia.evaluation.probes import leave_one_site_out, permuted, probe

RNG = np.random.default_rng(0)


def test_withholding_the_doubtful_leaves_fewer_errors() -> None:
    wrong = np.array([False, False, False, True])
    found = risk_coverage(wrong, np.array([0.1, 0.2, 0.3, 0.9]))
    assert found.risk.tolist() == [0, 0, 0, 0.25]
    assert found.risk_at(0.75) == 0 and found.risk_at(1.0) == 0.25 and found.risk_at(0) == 0
    assert found.area == pytest.approx(0.0625)


def test_equal_doubts_share_their_errors_whatever_the_order() -> None:
    for wrong in ([True, False], [False, True]):
        assert risk_coverage(np.array(wrong), np.array([0.5, 0.5])).risk.tolist() == [0.5, 0.5]


def test_no_patient_has_no_curve() -> None:
    with pytest.raises(ValueError, match="one finite doubt"):
        risk_coverage(np.zeros(0, bool), np.zeros(0))
    with pytest.raises(ValueError, match="one finite doubt"):
        risk_coverage(np.zeros(1, bool), np.array([np.nan]))


def cohort(signal: float) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Features of 60 patients with two slices, a label and one of two sites each."""
    labels = np.repeat(np.arange(60) % 2, 2)
    features = RNG.normal(size=(120, 12))
    features[:, 0] += signal * labels
    groups = [f"p{number // 2}" for number in range(120)]
    sites = ["north" if number < 60 else "south" for number in range(120)]
    return features, labels, groups, sites


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    features, labels, groups, _ = cohort(3.0)
    found = probe(features, labels, groups)
    assert not isinstance(found, str) and found["value"] is not None and found["value"] > 0.95
    control = probe(features, permuted(labels, groups, seed=1), groups)
    assert not isinstance(control, str) and control["low"] is not None and control["low"] < 0.5


def test_permuted_labels_stay_with_their_patients_and_their_numbers() -> None:
    _, labels, groups, _ = cohort(0.0)
    dealt = permuted(labels, groups, seed=0)
    assert (dealt[::2] == dealt[1::2]).all() and dealt.sum() == labels.sum()
    assert (dealt != labels).any()


def test_what_holds_at_one_site_only_fails_when_it_is_left_out() -> None:
    features, labels, groups, sites = cohort(0.0)
    sign = np.where(np.array(sites) == "north", 3.0, -3.0)
    features[:, 0] += sign * labels
    found = leave_one_site_out(features, labels, groups, sites)
    assert set(found) == {"north", "south"}
    for measured in found.values():
        assert not isinstance(measured, str) and (measured["value"] or 0) < 0.2


def test_a_label_that_only_patients_of_both_sites_have_is_not_shared() -> None:
    features, labels, groups, sites = cohort(1.0)
    south = np.array(sites) == "south"
    labels = np.where(south, 0, labels)
    labels[-1], groups[-1] = 1, groups[2]  # the only ill patient of the south is one of the north
    assert labels[2] == 1 and sites[2] == "north"
    found = leave_one_site_out(features, labels, groups, sites)
    assert found["north"] == "it and the other sites share fewer than two labels"
    assert not isinstance(found["south"], str)


def test_what_cannot_be_measured_says_why() -> None:
    features, labels, groups, sites = cohort(1.0)
    assert probe(features, labels * 0, groups) == "there is one label only"
    lonely = np.zeros_like(labels)
    lonely[:2] = 1
    assert probe(features, lonely, groups) == "one label has a single patient"
    split = np.where(np.array(sites) == "north", 0, 1)
    found = leave_one_site_out(features, split, groups, sites)
    assert set(found.values()) == {"it and the other sites share fewer than two labels"}
