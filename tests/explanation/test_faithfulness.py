"""Deletion and insertion tell a true map from a false one, for an answer that is understood."""

import numpy as np
import pytest

from deeppneumonia.explanation.faithfulness import faithfulness

LUNG = np.ones((20, 20), bool)
SPOT = np.zeros((20, 20), bool)
SPOT[4:8, 4:8] = True
PICTURE = np.where(SPOT, 200, 50).astype(np.uint8)


def share_of_spot(pictures: np.ndarray) -> np.ndarray:
    """Answers with the share of the spot that is bright."""
    return (pictures[:, SPOT] > 100).mean(axis=1)


def test_a_map_of_the_spot_is_truer_than_a_map_of_the_rest() -> None:
    true = faithfulness(PICTURE, SPOT.astype(float), LUNG, share_of_spot)
    false = faithfulness(PICTURE, 1 - SPOT.astype(float), LUNG, share_of_spot)
    assert true.deletion == pytest.approx(0.05) and true.insertion == pytest.approx(0.95)
    assert false.deletion > 0.9 and false.insertion < 0.1


def test_outside_stays_as_it_is_and_the_picture_is_not_touched() -> None:
    before = PICTURE.copy()
    seen = []

    def ask(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures)
        return np.zeros(len(pictures))

    half = LUNG.copy()
    half[:, 10:] = False
    faithfulness(PICTURE, SPOT.astype(float), half, ask, steps=4)
    assert (seen[0][:, :, 10:] == PICTURE[:, 10:]).all() and len(seen[0]) == 10
    assert np.array_equal(PICTURE, before)
    assert (seen[0][0] == PICTURE).all() and (seen[0][-1] == PICTURE).all()


def test_nothing_to_take_away_is_refused() -> None:
    with pytest.raises(ValueError, match="need pixels"):
        faithfulness(PICTURE, SPOT.astype(float), ~LUNG, share_of_spot)
