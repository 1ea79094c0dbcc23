"""From stored answers to every number of the tables; nothing here trains or looks at a picture.

The folds of one repeat are pooled: each patient was tested once, with probabilities calibrated on
the validation patients of that fold. A patient without an answer counts as undecided (1/C for
every class); slices are scored as the networks gave them, the answered ones only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.errors import ConfigError
from deeppneumonia.evaluation import IntervalScores, aggregate_by_patient, calibrate, score
from deeppneumonia.evaluation.bootstrap import nothing_answered
from deeppneumonia.evaluation.calibration import SENSITIVITIES
from deeppneumonia.evaluation.comparison import auc_interval, delong_test, mcnemar_test
from deeppneumonia.evaluation.patients import (
    classes_at_hand,
    is_answered,
    over_classes,
    refusals_as_uniform,
)
from deeppneumonia.evaluation.repeated import mean_confusion, mean_scores
from deeppneumonia.workflows.comparison_plan import SIX_STATISTICS
from deeppneumonia.workflows.comparison_store import TESTED, Comparison, SetAnswers

REFERENCES = ("resnet50", SIX_STATISTICS)
"""Against which every other network is tested, where they were compared."""

FEWEST_PATIENTS = 2
"""Of each of two classes, for a hospital to have a table of its own."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PatientAnswers:
    """One network's calibrated answers about patients, over the classes at hand."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(P,) of those classes."""

    patients: tuple[str, ...]
    probabilities: Floats
    """(R, P, C), no patient left out."""

    refused: int
    """Patients without an answer, counted as undecided here."""

    folds: NDArray[np.int64]
    """(R, P): in which fold a patient was tested."""

    called: Floats
    """(R, P, T): 1 where the first class's probability reaches the operating point of the network
    that was asked, 0 where not, NaN where it has none."""


def comparison_numbers(comparison: Comparison) -> dict[str, Any]:
    """Every number, as plain JSON types; the keys are explained in docs/how-to/compare.md."""
    sets = {name: None for answers in comparison.answers.values() for name in answers}
    sites = comparison.facts["sites"]
    parts: dict[str, tuple[str, str | None]] = {TESTED: (TESTED, None)}
    if len(sites) > 1:
        parts |= {f"within {site}": (TESTED, site) for site in sites}
    parts |= {f"external {name}": (name, None) for name in sets if name != TESTED}
    found = {title: _part(comparison, *where) for title, where in parts.items()}
    return {
        **{name: value for name, value in comparison.facts.items() if name != "networks"},
        "costs": {
            name: _costs(network["turns"]) for name, network in comparison.facts["networks"].items()
        },
        "sets": {title: numbers for title, numbers in found.items() if numbers},
    }


def patient_answers(
    answers: SetAnswers, classes: Sequence[str], site: str | None = None
) -> PatientAnswers:
    """Mean over the slices, calibrated by the network that was asked, over the classes at hand.

    Args:
        answers: of one network about one set.
        classes: C labels.
        site: only the patients of this hospital.
    """
    rows = _rows_of(answers, site)
    labels, kept = classes_at_hand(answers.labels[rows], len(classes))
    patients = [answers.patients[row] for row in rows]
    first_row = np.unique(np.array(patients), return_index=True)[1]
    probabilities, called, refused = [], [], 0
    for slices, temperatures, thresholds in zip(
        answers.slices[:, rows],
        answers.temperatures[:, rows],
        answers.thresholds[:, rows],
        strict=True,
    ):
        table = aggregate_by_patient(answers.labels[rows], slices, patients)
        calibrated = _calibrated(table.probabilities, temperatures[first_row])
        refused = max(refused, int((~is_answered(calibrated)).sum()))
        filled = refusals_as_uniform(calibrated)
        levels = thresholds[first_row]  # (P, T)
        called.append(np.where(np.isnan(levels), np.nan, filled[:, :1] >= levels))
        probabilities.append(over_classes(filled, kept))
    return PatientAnswers(
        classes=tuple(classes[index] for index in kept),
        labels=labels[first_row],
        patients=table.patients,
        probabilities=np.array(probabilities),
        refused=refused,
        folds=answers.folds[:, rows][:, first_row],
        called=np.array(called),
    )


def _part(comparison: Comparison, name: str, site: str | None) -> dict[str, Any] | None:
    """One set, or one hospital of the folds, with all networks; None where there is no task."""
    asked = {
        network: answers[name] for network, answers in comparison.answers.items() if name in answers
    }
    found = {
        network: patient_answers(answers, comparison.classes, site)
        for network, answers in asked.items()
    }
    one = next(iter(found.values()))
    if any(answers.patients != one.patients for answers in found.values()):
        raise ConfigError(
            f"The networks were asked about different patients of {name}: they were not compared "
            f"on the same rows. Compare again in another folder."
        )
    in_folds = name == TESTED and site is None
    counts = np.bincount(one.labels, minlength=len(one.classes))
    if site is not None and (counts >= FEWEST_PATIENTS).sum() < 2:
        return None
    return {
        "classes": list(one.classes),
        "patients": dict(zip(one.classes, counts.tolist(), strict=True)),
        "slices": _slice_counts(next(iter(asked.values())), site),
        "answers_each": len(one.probabilities),
        "networks": {
            network: _of_network(answers, asked[network], comparison.classes, site)
            | (_fold_aucs(answers) if in_folds else {})
            | {"against": _against(network, answers, found, within_folds=in_folds)}
            for network, answers in found.items()
        },
    }


def _of_network(
    answers: PatientAnswers, asked: SetAnswers, classes: Sequence[str], site: str | None
) -> dict[str, Any]:
    """What one network's answers about patients and slices are worth by themselves."""
    return {
        "patient": _block(
            mean_scores(answers.labels, answers.probabilities, answers.patients, answers.classes)
        ),
        "slice": _slices(asked, classes, site),
        "refused_patients": answers.refused,
        "confusion": mean_confusion(answers.labels, answers.probabilities).round(2).tolist(),
        "operating_points": _operating_points(answers, classes),
    }


def _slice_counts(answers: SetAnswers, site: str | None) -> dict[str, int]:
    """Slices and refused studies, and how many of them got an answer."""
    slices = answers.slices[0, _rows_of(answers, site)]
    return {"answered": int(is_answered(slices).sum()), "total": len(slices)}


def _slices(answers: SetAnswers, classes: Sequence[str], site: str | None) -> dict[str, Any]:
    """The metrics of the answered slices, as the network gave them; none without such a slice."""
    rows = _rows_of(answers, site)
    answered = rows[~np.isnan(answers.slices[:, rows]).any(axis=(0, 2))]
    if not len(answered):
        _, kept = classes_at_hand(answers.labels[rows], len(classes))
        return _block(nothing_answered([classes[index] for index in kept]))
    labels, kept = classes_at_hand(answers.labels[answered], len(classes))
    patients = [answers.patients[row] for row in answered]
    probabilities = np.array([over_classes(one, kept) for one in answers.slices[:, answered]])
    names = [classes[index] for index in kept]
    return _block(mean_scores(labels, probabilities, patients, names))


def _block(scores: IntervalScores) -> dict[str, Any]:
    return {**scores.metrics, "per_class": scores.per_class}


def _against(
    network: str,
    answers: PatientAnswers,
    found: Mapping[str, PatientAnswers],
    *,
    within_folds: bool,
) -> dict[str, Any]:
    """The paired tests of one network against each reference; none where a class is absent."""
    if len(np.unique(answers.labels)) < len(answers.classes):
        return {}
    return {
        reference: paired_tests(answers, found[reference], within_folds=within_folds)
        for reference in REFERENCES
        if reference in found and reference != network
    }


def paired_tests(
    one: PatientAnswers, other: PatientAnswers, *, within_folds: bool
) -> dict[str, Any]:
    """DeLong and McNemar of one network against another on the same patients."""
    labels, answers = one.labels, (one.probabilities, other.probabilities)
    tests = {
        "auc": asdict(delong_test(labels, *answers)),
        "errors": asdict(mcnemar_test(labels, *answers)),
    }
    if within_folds:
        tests["mean_fold_auc"] = asdict(delong_test(labels, *answers, folds=one.folds))
    return tests


def _fold_aucs(answers: PatientAnswers) -> dict[str, Any]:
    """The patient AUC of each fold by itself, repeat by repeat, and their mean."""
    aucs = [
        score(answers.labels[chosen], probabilities[chosen], answers.classes).metrics["auc"]
        for probabilities, folds in zip(answers.probabilities, answers.folds, strict=True)
        for chosen in (folds == fold for fold in np.unique(folds))
    ]
    mean = auc_interval(answers.labels, answers.probabilities, folds=answers.folds)
    return {"fold_auc": aucs, "mean_fold_auc": mean}


def _operating_points(answers: PatientAnswers, classes: Sequence[str]) -> list[dict[str, Any]]:
    """What the validation patients' thresholds for the first class did on these patients."""
    first = [index for index, name in enumerate(answers.classes) if name == classes[0]]
    if not first or len(answers.classes) < 2 or len(np.unique(answers.labels)) < 2:
        return []
    labels = (answers.labels != first[0]).astype(np.int64)
    points = []
    for number, target in enumerate(SENSITIVITIES):
        called = answers.called[:, :, number]  # (R, P)
        if np.isnan(called).any():
            return []
        decided = np.stack([called, 1 - called], axis=2)
        scores = mean_scores(labels, decided, answers.patients, ("first", "rest")).metrics
        points.append(
            {
                "target": target,
                "sensitivity": scores["recall"],
                "specificity": scores["specificity"],
            }
        )
    return points


def _calibrated(probabilities: Floats, temperatures: Floats) -> Floats:
    """Each patient (P, C) by the temperature (P,) of the network that was asked about it."""
    result = np.empty_like(probabilities)
    for temperature in np.unique(temperatures):
        chosen = temperatures == temperature
        result[chosen] = calibrate(probabilities[chosen], float(temperature))
    return result


def _rows_of(answers: SetAnswers, site: str | None) -> NDArray[np.intp]:
    return np.array([n for n, where in enumerate(answers.sites) if site in (None, where)], np.intp)


def _costs(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a network starts from and costs; the same in all its turns but for the seconds."""
    first = turns[0]
    costs: dict[str, Any] = {
        "model": first["model"],
        "commits": sorted({str(turn["commit"]) for turn in turns}),
    }
    if "parameters" not in first:  # six statistics
        return costs
    patients = sum(turn["asked_patients"] for turn in turns)
    return costs | {
        "start": first["start"] and first["start"]["file"],
        "parameters": first["parameters"],
        "gmac": first["gmac"],
        "picture_px": first["recipe"]["preprocessing"]["picture_px"],
        "seconds_per_patient": sum(turn["asking_s"] for turn in turns) / max(patients, 1),
        "slices_per_patient": sum(turn["asked_slices"] for turn in turns) / max(patients, 1),
        "hours": sum(turn["turn_s"] for turn in turns) / 3600,
        "devices": sorted({turn["device"] for turn in turns}),
    }
