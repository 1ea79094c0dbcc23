"""What the heat of a key slice stands for, and where it may lie."""

import numpy as np
import torch

from deeppneumonia.models import NetworkOutput
from deeppneumonia.workflows.key_slices import heat_of, log_odds, within


def test_the_log_odds_of_a_class_are_those_of_its_probability() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    expected = torch.logit(logits.softmax(dim=1))
    torch.testing.assert_close(log_odds(logits), expected)
    torch.testing.assert_close(log_odds(logits + 7), expected)  # what all share says nothing


class TellsLesions(torch.nn.Module):
    """The first class is the mean of the picture; lesion is told in its lower half alone."""

    def __init__(self, lesion: torch.Tensor | None) -> None:
        super().__init__()
        self.seen = torch.nn.Identity()
        self.lesion = lesion

    def forward(self, x: torch.Tensor) -> NetworkOutput:
        mean = self.seen(x).mean(dim=(1, 2, 3))
        logits = torch.stack([mean, -mean], dim=1)
        return NetworkOutput(logits, mean[:, None], lesion_logits=self.lesion)


def test_heat_counts_as_far_as_lesion_is_told() -> None:
    x = torch.tensor([[[[4.0, 1.0], [1.0, 2.0]]]])
    told = torch.tensor([[[-30.0, -30.0], [0.0, 0.0]]])
    for lesion, expected in ((None, [[1, 0.25], [0.25, 0.5]]), (told, [[0, 0], [0.5, 1]])):
        network = TellsLesions(lesion)
        heat = heat_of(lambda net=network: net(x), network.seen, torch.tensor([0]), 2)
        np.testing.assert_allclose(heat[0], expected, atol=1e-6)
        assert not heat_of(lambda net=network: net(x), network.seen, torch.tensor([1]), 2).any()


def test_heat_lies_inside_the_lung_and_its_maximum_there_is_1() -> None:
    heat = np.array([[1.0, 0.4], [0.2, 0.0]], np.float32)
    lung = np.array([[False, True], [True, True]])
    np.testing.assert_allclose(within(heat, lung), [[0, 1], [0.5, 0]])
    assert not within(heat, np.zeros_like(lung)).any()
