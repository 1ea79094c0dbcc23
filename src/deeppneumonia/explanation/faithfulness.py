"""Is a heat map true to the network? Take away, or put back, the hottest places first and watch.

Source: Petsiuk et al., "RISE", BMVC 2018.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Ask = Callable[[Pictures], NDArray[np.floating]]
"""Pictures (n, S, S) in, the probability (n,) of the class that is explained out."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Mean probability while pixels go or come in the order of a heat map."""

    deletion: float
    """Less is better: the answer falls as soon as its reasons are gone."""

    insertion: float
    """More is better: the answer rises as soon as its reasons are there."""


def faithfulness(
    picture: Pictures,
    order: NDArray[np.floating],
    where: NDArray[np.bool_],
    ask: Ask,
    *,
    steps: int = 10,
) -> Faithfulness:
    """Deletion and insertion of one picture, in `steps` equal parts of the pixels of `where`.

    What is not shown has the median grey of `where`: an even lung, without a new edge of black.

    Args:
        picture: (S, S).
        order: (S, S), such as heat; the largest values go, or come, first.
        where: (S, S), the lung; pixels outside stay as they are.
        ask: the network.
        steps: 1 or more.
    """
    rows, columns = np.nonzero(where)
    if rows.size == 0 or steps < 1:
        raise ValueError("deletion and insertion need pixels, and one step or more")
    ranked = np.argsort(-order[rows, columns], kind="stable")
    even = picture.copy()
    even[where] = np.uint8(np.median(picture[where]))
    shown = []
    for step in range(steps + 1):
        first = ranked[: round(step * len(ranked) / steps)]
        place = (rows[first], columns[first])
        deleted, inserted = picture.copy(), even.copy()
        deleted[place] = even[place]
        inserted[place] = picture[place]
        shown += [deleted, inserted]
    answers = np.asarray(ask(np.stack(shown)), np.float64)
    return Faithfulness(_area(answers[0::2]), _area(answers[1::2]))


def _area(values: NDArray[np.float64]) -> float:
    """Area under equally spaced values, the whole width taken as 1."""
    return float((values[:-1] + values[1:]).mean() / 2)
