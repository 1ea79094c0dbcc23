"""The directions that some inputs of a layer lie in: few slices fill few of thousands.

A refit of the layer on these slices never leaves their span (see `anchored`), so that it can be
done on short inputs, slice for slice with the same logits, and carried back once at the end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.training.anchored import LIBRARIES, Floats, LinearHead

LEAST_SHARE = 1e-12
"""Directions with less than this share of the greatest variance are rounding errors."""


@dataclass(frozen=True, slots=True)
class Span:
    """Orthonormal axes (r, D), and inputs along them."""

    axes: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: Floats) -> "Span":
        """The span of inputs (n, D); r is n at most."""
        exact = np.asarray(inputs, np.float64)
        if len(exact) > exact.shape[1]:
            return cls(np.eye(exact.shape[1]))
        with LIBRARIES.limit(limits=1, user_api="blas"):
            variance, directions = np.linalg.eigh(exact @ exact.T)
            kept = variance > LEAST_SHARE * variance[-1]
            axes = (directions[:, kept] / np.sqrt(variance[kept])).T @ exact
            # Directions of little variance are not quite orthogonal after rounding.
            return cls(np.linalg.qr(axes.T)[0].T)

    def shorten(self, inputs: Floats) -> NDArray[np.float64]:
        """(n, r) of inputs (n, D) that lie in the span."""
        short: NDArray[np.float64] = np.asarray(inputs, np.float64) @ self.axes.T
        return short

    def shorten_head(self, head: LinearHead) -> LinearHead:
        """The head that gives short inputs the logits that `head` gives the long ones."""
        return LinearHead(head.weight @ self.axes.T, head.bias)

    def lengthen_head(self, old: LinearHead, refitted: LinearHead) -> LinearHead:
        """A refitted head of short inputs for long ones; beyond the span it is the old head."""
        change = refitted.weight - old.weight @ self.axes.T
        return LinearHead(old.weight + change @ self.axes, refitted.bias)
