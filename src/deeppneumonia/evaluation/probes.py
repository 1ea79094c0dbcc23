"""What can be read out of a network's features by a straight line: labels, sites, and chance.

A probe is a logistic regression on a few principal components. It is fitted on some patients and
answers for others, so what it scores is what the features hold, and not what the probe learned.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.bootstrap import Interval, score_with_intervals
from deeppneumonia.evaluation.patients import aggregate_by_patient, label_of_patients
from deeppneumonia.evaluation.shortcuts import patient_folds

FOLDS = 5
COMPONENTS = 24
"""Principal components that a probe sees: few against the number of patients."""

REPEATS = 500
"""Draws of the patient bootstrap."""


def probe(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> Interval | str:
    """Patient AUC of labels read out of features, cross-validated by patient.

    Args:
        features: (n, D).
        labels: (n,) class indices, any numbers; each patient has one.
        groups: n patient keys.
        seed: of folds and draws.

    Returns:
        The macro AUC with its interval, or in words why there is none.
    """
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return "there is one label only"
    counts = np.bincount(label_of_patients(codes, groups)[1])
    folds = min(FOLDS, int(counts.min()))
    if folds < 2:
        return "one label has a single patient"
    answers = np.full((len(codes), len(names)), np.nan)
    for fitted, held_out in patient_folds(codes, groups, folds, seed):
        if len(np.unique(codes[fitted])) == len(names):
            answers[held_out] = _read_out(features[fitted], codes[fitted], features[held_out])
    return patient_auc_of(codes, answers, groups, seed=seed)


def permuted(labels: NDArray[np.integer], groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The same labels, dealt out anew among the patients; slices of a patient keep one label."""
    _, of_patient, of_row = label_of_patients(labels, groups)
    shuffled = np.random.default_rng([seed, 43]).permutation(of_patient)
    return np.asarray(shuffled[of_row], np.int64)


def leave_one_site_out(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: Sequence[str],
    sites: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, Interval | str]:
    """For each site, the patient AUC of a probe fitted on all the others, or why there is none."""
    where = np.asarray(sites)
    names = np.asarray(groups)
    found: dict[str, Interval | str] = {}
    for site in sorted(set(sites)):
        inside = where == site
        elsewhere = ~inside & ~np.isin(names, names[inside])  # a patient of both sites is tested
        shared = sorted(set(labels[inside].tolist()) & set(labels[elsewhere].tolist()))
        if len(shared) < 2:
            found[site] = "it and the other sites share fewer than two labels"
            continue
        fitted = elsewhere & np.isin(labels, shared)
        tested = inside & np.isin(labels, shared)
        codes = np.searchsorted(shared, labels)
        answers = _read_out(features[fitted], codes[fitted], features[tested])
        found[site] = patient_auc_of(codes[tested], answers, names[tested].tolist(), seed=seed)
    return found


def _read_out(
    features: NDArray[np.floating], codes: NDArray[np.int64], asked: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(m, C): probabilities for `asked` of a probe fitted on the others."""
    from sklearn.decomposition import PCA  # costs a second: only where a probe is fitted
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    components = min(COMPONENTS, len(features) - 1, features.shape[1])
    line: Any = make_pipeline(
        PCA(components, svd_solver="full"),
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )
    answers = line.fit(features, codes).predict_proba(asked)
    return np.asarray(answers, np.float64)


def patient_auc_of(
    codes: NDArray[np.integer],
    answers: NDArray[np.float64],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> Interval | str:
    """Patient AUC of answers (n, C) for labels (n,), 0 to C - 1; in words why there is none."""
    table = aggregate_by_patient(codes, answers, groups)
    names = [str(number) for number in range(answers.shape[1])]
    scores = score_with_intervals(
        table.labels, table.probabilities, table.patients, names, repeats=REPEATS, seed=seed
    )
    auc = scores.metrics["auc"]
    return auc if auc["value"] is not None else "some label has no patient to answer for"
