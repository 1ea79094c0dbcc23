"""Arrays in, numbers out: how good the answers are, in figures that a person can check by hand."""

from deeppneumonia.evaluation.metrics import Scores, patient_auc, score
from deeppneumonia.evaluation.patients import PatientTable, aggregate_by_patient

__all__ = ["PatientTable", "Scores", "aggregate_by_patient", "patient_auc", "score"]
