"""Arrays in, numbers out: how good the answers are, in figures that a person can check by hand.

The figures as pictures are in `deeppneumonia.evaluation.plots`, which loads matplotlib.
"""

from deeppneumonia.evaluation.answers import Answers, AnswerSet, answer_set
from deeppneumonia.evaluation.bootstrap import (
    Interval,
    IntervalScores,
    auc_difference,
    score_with_intervals,
)
from deeppneumonia.evaluation.calibration import (
    ConfidenceThreshold,
    OperatingPoint,
    ReliabilityCurve,
    at_threshold,
    calibrate,
    choose_confidence_threshold,
    ece_by_chance,
    fit_temperature,
    operating_points,
    reliability_curve,
)
from deeppneumonia.evaluation.metrics import Scores, patient_auc, score
from deeppneumonia.evaluation.patients import PatientTable, aggregate_by_patient
from deeppneumonia.evaluation.report import evaluation_report
from deeppneumonia.evaluation.shortcuts import (
    Baseline,
    cross_validated_forest,
    picture_statistics,
    six_statistics_baseline,
)

__all__ = [
    "AnswerSet",
    "Answers",
    "Baseline",
    "ConfidenceThreshold",
    "Interval",
    "IntervalScores",
    "OperatingPoint",
    "PatientTable",
    "ReliabilityCurve",
    "Scores",
    "aggregate_by_patient",
    "answer_set",
    "at_threshold",
    "auc_difference",
    "calibrate",
    "choose_confidence_threshold",
    "cross_validated_forest",
    "ece_by_chance",
    "evaluation_report",
    "fit_temperature",
    "operating_points",
    "patient_auc",
    "picture_statistics",
    "reliability_curve",
    "score",
    "score_with_intervals",
    "six_statistics_baseline",
]
