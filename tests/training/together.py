"""Trainings that torchrun starts in two processes: `torchrun together.py FOLDER`.

Alone, without torchrun, the same calls are what the two processes are compared with.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))  # pytest looks for doctests here from elsewhere

from small_world import Batch, Output, Squares, TinyNetwork
from torch import Tensor, nn

from deeppneumonia.models import create_model
from deeppneumonia.training import Loaders, TrainConfig, Trainer
from deeppneumonia.training.distributed import joined_by_torchrun

# 25 pictures in batches of 4: the last has one, too few for two processes.
CONFIG = TrainConfig(
    epochs=4, learning_rate=0.05, weight_average=0.9, patience=0, deterministic=True, seed=3
)
DEEP = replace(CONFIG, epochs=2, learning_rate=0.01)
DETAILS = replace(CONFIG, epochs=1, learning_rate=0.001, max_steps_per_epoch=1)


class PowerCutError(Exception):
    """Stands for whatever ends a training between two epochs."""


@dataclass
class Interrupted(Squares):
    """Squares until the third epoch."""

    def set_epoch(self, epoch: int) -> None:
        if epoch == 3:
            raise PowerCutError
        super().set_epoch(epoch)


@dataclass
class Noise(Squares):
    """Noise of a size that a real network reads, and the labels of the squares."""

    side: int = 64

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.epoch)
        for batch in super().__iter__():
            shape = (len(batch.labels), 1, self.side, self.side)
            noise = torch.randint(0, 256, shape, generator=generator)
            yield replace(batch, pictures=noise.to(torch.uint8))


class DoublePrecision(nn.Module):
    """A ResNet-18 in float64, where the order of a sum is not to be seen."""

    name = "resnet18"

    def __init__(self) -> None:
        super().__init__()
        self.backbone = create_model("resnet18", 2).backbone.double()
        self.dropout = nn.Dropout(0.5)

    def forward(self, pictures: Tensor) -> Output:
        pixels = (pictures.double() / 128 - 1).expand(-1, 3, -1, -1)
        features = self.backbone.feature_map(pixels).mean(dim=(2, 3))
        return Output(self.backbone.head(self.dropout(features)))

    def loss(
        self,
        output: Output,
        targets: Tensor,
        class_weights: Tensor | None,
        lesions: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        weights = None if class_weights is None else class_weights.double()
        return nn.functional.cross_entropy(output.logits, targets, weight=weights)


def tiny(out: Path) -> None:
    loaders = Loaders(Squares(pictures=25), Squares(pictures=13, seed=7, shuffles=False))
    Trainer().fit(TinyNetwork(), loaders, CONFIG, out)


def interrupted(out: Path) -> None:
    loaders = Loaders(Interrupted(pictures=25), Squares(pictures=13, seed=7, shuffles=False))
    try:
        Trainer().fit(TinyNetwork(), loaders, CONFIG, out)
    except PowerCutError:
        return


def deep(out: Path) -> None:
    train, validation = Noise(pictures=11), Noise(pictures=5, seed=7, shuffles=False)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        network = DoublePrecision()
    Trainer().fit(network, Loaders(train, validation, (6, 5)), DEEP, out)


def with_details(out: Path) -> None:
    train, validation = (Noise(pictures=4, side=128, shuffles=False) for _ in range(2))
    with torch.random.fork_rng([]):
        torch.manual_seed(2)  # with 1, two squares are so alike that rounding chooses between them
        network = create_model("drenet-fpn", 2)
    Trainer().fit(network, Loaders(train, validation, (2, 2)), DETAILS, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with joined_by_torchrun():
        tiny(folder / "tiny")
        interrupted(folder / "interrupted")
        deep(folder / "deep")
        with_details(folder / "details")
