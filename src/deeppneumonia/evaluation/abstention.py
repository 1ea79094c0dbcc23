"""What not answering buys: how wrong the remaining answers are when doubtful ones are withheld."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Error of the answers given, for every share of patients that could be answered."""

    coverage: NDArray[np.float64]
    """(P,): share answered, from 1/P to 1; the least doubtful patients first."""

    risk: NDArray[np.float64]
    """(P,): share of wrong answers among them."""

    @property
    def area(self) -> float:
        """Mean risk over all coverages; less is better."""
        return float(self.risk.mean())

    def risk_at(self, coverage: float) -> float:
        """Risk when this share of the patients, 0 to 1, is answered; at least one is."""
        place = max(int(np.ceil(coverage * len(self.risk) - 1e-9)), 1)
        return float(self.risk[place - 1])


def risk_coverage(wrong: NDArray[np.bool_], doubt: NDArray[np.floating]) -> RiskCoverage:
    """Answer the patients from the least to the most doubtful one.

    Args:
        wrong: (P,), whether the answer to each patient is wrong.
        doubt: (P,), any scale; equal doubts share their errors.

    Raises:
        ValueError: for no patient, or doubts that are not numbers.

    Source: El-Yaniv and Wiener, JMLR 2010; Geifman and El-Yaniv, NeurIPS 2017.

    >>> risk_coverage(np.array([False, True]), np.array([0.1, 0.9])).risk
    array([0. , 0.5])
    """
    if len(wrong) == 0 or wrong.shape != doubt.shape or not np.isfinite(doubt).all():
        raise ValueError("risk and coverage need one finite doubt for each of 1 patient or more")
    levels, level_of, counts = np.unique(doubt, return_inverse=True, return_counts=True)
    errors = np.bincount(level_of, wrong, minlength=len(levels)) / counts
    order = np.argsort(doubt, kind="stable")
    answered = np.arange(1, len(wrong) + 1)
    return RiskCoverage(answered / len(wrong), np.cumsum(errors[level_of[order]]) / answered)
