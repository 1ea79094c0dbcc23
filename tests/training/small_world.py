"""A network of a few weights and a world of bright, dim and dark squares to train it on.

Run as a script it trains once, which the tests of resuming do in a process that they can kill.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from deeppneumonia.training import Batch, Loaders, TrainConfig, Trainer


@dataclass(frozen=True)
class Output:
    logits: Tensor


class TinyNetwork(nn.Module):
    """One convolution with batch norm and dropout: all that makes resuming hard."""

    name = "tiny"

    def __init__(self, num_classes: int = 2, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.stem = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.25)
            )
            self.head = nn.Linear(8, num_classes)

    def forward(self, pictures: Tensor) -> Output:
        features = self.stem(pictures.float() / 255 - 0.5).mean(dim=(2, 3))
        return Output(self.head(features).float())

    def loss(self, output: Output, targets: Tensor, class_weights: Tensor | None) -> Tensor:
        return nn.functional.cross_entropy(output.logits, targets, weight=class_weights)

    def freeze_stages(self, stages: int) -> None:
        self.stem.requires_grad_(stages == 0)

    def freeze_batchnorm(self) -> None:
        self.stem[1].eval()


@dataclass
class Squares:
    """Squares whose brightness tells their class; epoch and seed decide order and noise."""

    num_classes: int = 2
    pictures: int = 24
    batch_size: int = 4
    seed: int = 0
    shuffles: bool = True
    wrong: bool = False
    """Turn the labels round."""
    pause_s: float = 0.0
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.pictures // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed + 1000 * self.epoch)
        order = torch.arange(self.pictures)
        if self.shuffles:
            order = order[torch.randperm(self.pictures, generator=generator)]
        for chosen in order.split(self.batch_size):
            yield self.batch(chosen, generator)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Batch:
        labels = chosen % self.num_classes
        grey = 220 - 180 * labels / (self.num_classes - 1)
        noise = torch.randint(-20, 20, (len(chosen), 1, 8, 8), generator=generator)
        pictures = (grey[:, None, None, None] + noise).clamp(0, 255).to(torch.uint8)
        groups = [f"patient {index % (2 * self.num_classes)}" for index in chosen.tolist()]
        return Batch(pictures, self.num_classes - 1 - labels if self.wrong else labels, groups)


def loaders(num_classes: int = 2, *, wrong_training: bool = False) -> Loaders:
    train = Squares(num_classes, wrong=wrong_training)
    return Loaders(train, Squares(num_classes, pictures=12, seed=7, shuffles=False))


KILLED_CONFIG = TrainConfig(
    epochs=40, learning_rate=0.01, weight_average=0.9, patience=0, deterministic=True, seed=3
)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("ready", flush=True)  # noqa: T201
    Trainer().fit(TinyNetwork(), loaders(), KILLED_CONFIG, Path(sys.argv[1]))
