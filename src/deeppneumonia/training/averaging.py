"""A moving average of a network's weights, which often generalises better than the last step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from deeppneumonia.training.batches import Trainable


class WeightAverage:
    """Exponential moving average of all weights and running statistics of a network.

    After step t the average moves by a share 1 - d towards the weights, where
    d = min(decay, (1 + t) / (10 + t)): the untrained start is forgotten within a few steps, however
    slow the decay. Counters (integers) are copied.

    Source: the num_updates rule of tf.train.ExponentialMovingAverage.
    """

    def __init__(self, network: Trainable, decay: float) -> None:
        """Start from the network's present weights; decay is 0 up to but not 1."""
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be 0 up to but not 1, not {decay}")
        self.decay = decay
        self.steps = 0
        self.weights: dict[str, Tensor] = _copy(network.state_dict())

    @torch.no_grad()
    def update(self, network: Trainable) -> None:
        """Take in the weights as they are after one more step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def applied_to(self, network: Trainable) -> Iterator[None]:
        """Inside, the network has the averaged weights; afterwards, its own again."""
        own = _copy(network.state_dict())
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}
