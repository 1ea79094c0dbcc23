"""Heads fitted to their optimum: on data whose answer is known, and on nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deeppneumonia.training import fit_linear_heads


@dataclass
class Pictures:
    pictures: Tensor
    labels: Tensor
    groups: list[str]
    lesions: None = None


SITES = {f"{number}/{position}": "here" for number in range(6) for position in range(6)}


class TwoNumbers(nn.Module):
    """Sees the mean of the left and of the right half; a hidden layer must be left alone."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 2)
        nn.init.eye_(self.hidden.weight)
        nn.init.zeros_(self.hidden.bias)
        self.head = nn.Linear(2, classes) if classes != 2 else nn.Linear(2, 2, bias=True)

    def forward(self, pictures: Tensor) -> Tensor:
        halves = pictures.float().mean(dim=(1, 2)).unflatten(1, (2, -1)).mean(dim=2)  # (N, 2)
        return self.head(self.hidden(halves))


def batches() -> Iterator[Pictures]:
    random = np.random.default_rng(0)
    for number in range(6):
        labels = np.arange(6) % 3
        means = np.array([[50, 50], [150, 50], [50, 150]])[labels] + random.normal(0, 5, (6, 2))
        pictures = np.repeat(means[:, None, None, :], 4, axis=3).repeat(8, axis=2)
        yield Pictures(
            torch.from_numpy(pictures.astype(np.uint8)),
            torch.from_numpy(labels),
            [f"{number}/{position}" for position in range(6)],
        )


def test_heads_tell_apart_what_can_be_told_apart_by_a_line() -> None:
    network = TwoNumbers(3).eval()
    fit_linear_heads(network, batches(), num_classes=3, site_of=SITES)
    with torch.inference_mode():
        right = [
            (network(batch.pictures).argmax(dim=1) == batch.labels).float().mean().item()
            for batch in batches()
        ]
    assert right == [1.0] * 6


def test_other_layers_stay_as_they_are() -> None:
    network = TwoNumbers(3).eval()
    fit_linear_heads(network, batches(), num_classes=3, site_of=SITES)
    assert torch.equal(network.hidden.weight, torch.eye(2))


def test_a_strong_penalty_leaves_nothing_but_equal_chances() -> None:
    network = TwoNumbers(3).eval()
    fit_linear_heads(network, batches(), num_classes=3, site_of=SITES, penalty=1e6)
    with torch.inference_mode():
        chances = network(next(batches()).pictures).softmax(dim=1)
    # Every class weighs the same, so without evidence each has a third.
    assert chances.numpy() == pytest.approx(1 / 3, abs=1e-3)
