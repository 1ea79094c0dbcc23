"""Which details are shown."""

import numpy as np
import pytest

from deeppneumonia.domain import Box
from deeppneumonia.explanation import UsedDetail, used_details

COVID, BACTERIAL, HEALTHY = 0, 1, 2
BOXES = np.array([[0, 0, 48, 48], [100, 60, 292, 252], [-16, 8, 32, 56]], np.float32)
PROBABILITIES = np.array([[0.81, 0.09, 0.10], [0.95, 0.03, 0.02], [0.05, 0.90, 0.05]])


def test_details_that_agree_with_the_slice_are_shown_heaviest_first() -> None:
    shown = used_details(BOXES, PROBABILITIES, COVID, healthy=HEALTHY)
    assert shown == (
        UsedDetail(Box(100, 60, 292, 252), 0.95),
        UsedDetail(Box(0, 0, 48, 48), 0.81),
    )


def test_another_answer_shows_other_details() -> None:
    (shown,) = used_details(BOXES, PROBABILITIES, BACTERIAL, healthy=HEALTHY)
    assert shown == UsedDetail(Box(-16, 8, 32, 56), 0.90)


def test_a_healthy_slice_shows_nothing() -> None:
    sure = np.array([[0.0, 0.0, 1.0]])
    assert used_details(BOXES[:1], sure, HEALTHY, healthy=HEALTHY) == ()


def test_no_detail_reaches_the_level_and_none_is_shown() -> None:
    assert used_details(BOXES, PROBABILITIES, COVID, healthy=None, level=0.95) == ()


def test_a_network_without_details_shows_none() -> None:
    assert used_details(np.zeros((0, 4)), np.zeros((0, 2)), COVID, healthy=None) == ()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        used_details(BOXES, PROBABILITIES[:2], COVID, healthy=None)
    with pytest.raises(ValueError, match="predicted must be 0 to 2"):
        used_details(BOXES, PROBABILITIES, 3, healthy=None)
