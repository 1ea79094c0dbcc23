"""The last linear layer refitted on few patients, held to what it was before.

The new layer is the old one plus a change that is penalised by its length, so that with few
patients, or with patients who show nothing new, the old layer remains. Given the inputs of the
layer the problem is convex, and its solution lies in the span of those inputs: n unknowns for n
slices, however long the inputs are (the representer theorem; Schoelkopf et al. 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.floating]

LIBRARIES = ThreadpoolController()
"""Beside other work, threads on matrices this small wait for each other most of the time."""

LEAST_DIRECTION = 1e-7
"""Directions with less than this share of the greatest variance are rounding errors."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Weights (C, D) and offsets (C,) of a last layer."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, inputs: Floats) -> NDArray[np.float64]:
        """(n, C) of inputs (n, D)."""
        answer: NDArray[np.float64] = np.asarray(inputs, np.float64) @ self.weight.T + self.bias
        return answer

    def probabilities(self, inputs: Floats) -> NDArray[np.float64]:
        """(n, C) of inputs (n, D)."""
        answer: NDArray[np.float64] = softmax(self.logits(inputs), axis=1)
        return answer


def fit_anchored(
    old: LinearHead,
    inputs: Floats,
    labels: NDArray[np.integer],
    weights: NDArray[np.floating],
    *,
    present: Sequence[int],
    penalties: Sequence[float],
) -> list[LinearHead]:
    """For each penalty the head that minimises cross-entropy plus `penalty` / 2 times its squared
    distance to `old`.

    Distance is measured on inputs that were centred and scaled to mean squared length 1, so that a
    penalty means the same for every network. Only the classes at hand are told apart: the mean of
    their logits stays where it was, and with it the odds of a class that this hospital lacks.
    What does not depend on the penalty is worked out once.

    Args:
        old: the head to stay near.
        inputs: (n, D) of the layer.
        labels: (n,) class indices, all of them in `present`.
        weights: (n,) of the slices.
        present: the classes that these patients have, two or more.
        penalties: each more than 0; infinite keeps the old head.
    """
    if len(present) < 2 or not set(np.unique(labels)) <= set(present):
        raise ValueError(f"labels must be of two present classes or more, not of {list(present)}")
    if not all(penalty > 0 for penalty in penalties):
        raise ValueError(f"penalties must be more than 0, not {list(penalties)}")
    columns = sorted(present)
    share = np.asarray(weights, np.float64) / np.sum(weights)
    mean = share @ inputs
    centred = np.asarray(inputs, np.float64) - mean
    length = np.sqrt(share @ (centred**2).sum(axis=1)) + 1e-12
    rows = np.hstack([centred / length, np.ones((len(inputs), 1))])  # (n, D + 1)
    with LIBRARIES.limit(limits=1, user_api="blas"):
        variance, axes = np.linalg.eigh(rows @ rows.T)
        kept = variance > LEAST_DIRECTION * variance[-1]
        scale = np.sqrt(variance[kept])
        seen = axes[:, kept] * scale  # (n, r): the rows in r orthogonal directions
        start = old.logits(inputs)[:, columns]
        codes = np.searchsorted(columns, labels)
        back = (axes[:, kept] / scale).T @ rows  # (r, D + 1)

        def changed(penalty: float) -> LinearHead:
            slopes = _minimise(seen, start, codes, share, penalty).T @ back  # (P, D + 1)
            weight, bias = old.weight.copy(), old.bias.copy()
            weight[columns] += slopes[:, :-1] / length
            bias[columns] += slopes[:, -1] - slopes[:, :-1] @ mean / length
            return LinearHead(weight, bias)

        return [old if np.isinf(penalty) else changed(penalty) for penalty in penalties]


def _minimise(
    seen: NDArray[np.float64],
    start: NDArray[np.float64],
    labels: NDArray[np.integer],
    share: NDArray[np.float64],
    penalty: float,
) -> NDArray[np.float64]:
    """(r, P): the change of the logits per direction."""
    truth = np.eye(start.shape[1])[labels]
    shape = (seen.shape[1], start.shape[1])

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        change = flat.reshape(shape)
        log_p = log_softmax(start + seen @ change, axis=1)
        loss = -float(share @ (truth * log_p).sum(axis=1))
        slope = seen.T @ (share[:, None] * (np.exp(log_p) - truth)) + penalty * change
        return loss + penalty / 2 * float((change**2).sum()), slope.ravel()

    found = minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B",
                     options={"maxiter": 500})  # fmt: skip
    solution: NDArray[np.float64] = found.x.reshape(shape)
    return solution
