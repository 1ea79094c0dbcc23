"""What the heat of a key slice stands for, and where it may lie."""

import numpy as np
import torch

from deeppneumonia.workflows.key_slices import log_odds, within


def test_the_log_odds_of_a_class_are_those_of_its_probability() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    expected = torch.logit(logits.softmax(dim=1))
    torch.testing.assert_close(log_odds(logits), expected)
    torch.testing.assert_close(log_odds(logits + 7), expected)  # what all share says nothing


def test_heat_lies_inside_the_lung_and_its_maximum_there_is_1() -> None:
    heat = np.array([[1.0, 0.4], [0.2, 0.0]], np.float32)
    lung = np.array([[False, True], [True, True]])
    np.testing.assert_allclose(within(heat, lung), [[0, 1], [0.5, 0]])
    assert not within(heat, np.zeros_like(lung)).any()
