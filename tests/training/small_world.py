"""A network of a few weights and a world of bright, dim and dark squares to train it on.

Run as a script with two folders it trains in the first without a break, and in the second with
`kill -9` at random moments, until that training, too, is done. It prints the number of kills.
"""

import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from deeppneumonia.training import Loaders, TrainConfig, Trainer


@dataclass(frozen=True)
class Batch:
    pictures: Tensor
    labels: Tensor
    groups: list[str]
    lesions: Tensor | None = None


@dataclass(frozen=True)
class Output:
    logits: Tensor


class TinyNetwork(nn.Module):
    """One convolution with batch norm and dropout: all that makes resuming hard."""

    name = "tiny"
    is_batchnorm_frozen = False

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

    def loss(
        self,
        output: Output,
        targets: Tensor,
        class_weights: Tensor | None,
        lesions: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        return nn.functional.cross_entropy(output.logits, targets, weight=class_weights)

    def freeze_stages(self, stages: int) -> None:
        if stages > 1:
            raise ValueError(f"there is 1 stage, not {stages}")
        self.stem.requires_grad_(False)

    def freeze_batchnorm(self) -> None:
        self.is_batchnorm_frozen = True

    def train(self, mode: bool = True) -> "TinyNetwork":
        super().train(mode)
        self.stem[1].train(mode and not self.is_batchnorm_frozen)
        return self


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
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.pictures / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed + 1000 * self.epoch)
        order = torch.arange(self.pictures)
        if self.shuffles:
            order = order[torch.randperm(self.pictures, generator=generator)]
        for start in range(0, self.pictures, self.batch_size):
            yield self.batch(order[start : start + self.batch_size], generator)

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


UNBROKEN = TrainConfig(
    epochs=6, learning_rate=0.01, weight_average=0.9, patience=0, deterministic=True, seed=3
)


def start_training(out_dir: Path) -> int:
    """Train in a process of its own; its id."""
    child = os.fork()
    if child == 0:
        Trainer().fit(TinyNetwork(), loaders(), UNBROKEN, out_dir)
        os._exit(0)
    return child


def train_with_kills(out_dir: Path, seconds: float, kills: int) -> int:
    """Start again and again, killing after a random part of `seconds`; how many kills hit."""
    moments = random.Random(5)
    hits = 0
    for _ in range(kills):
        child = start_training(out_dir)
        time.sleep(moments.uniform(0, seconds / 3))
        os.kill(child, signal.SIGKILL)
        hits += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    os.waitpid(start_training(out_dir), 0)
    return hits


if __name__ == "__main__":
    torch.set_num_threads(1)
    learn_one_step = replace(UNBROKEN, epochs=1, max_steps_per_epoch=1)
    with tempfile.TemporaryDirectory() as folder:  # what torch loads late, children need not load
        Trainer().fit(TinyNetwork(), loaders(), learn_one_step, Path(folder))
    began = time.perf_counter()
    os.waitpid(start_training(Path(sys.argv[1])), 0)
    print(train_with_kills(Path(sys.argv[2]), time.perf_counter() - began, kills=7))  # noqa: T201
