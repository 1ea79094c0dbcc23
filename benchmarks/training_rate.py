"""How near the training loop comes to the bare network, and what an epoch costs by its slices.

    python benchmarks/training_rate.py

The bare rate is forward, backward and step on one batch that lies ready; the loop's rate is that of
`Learner.train_epoch` with slices out of a memory-mapped cache, shuffled and augmented. Both use the
same network, in turn, in rounds of one process. On a busy machine look at the second ratio, of the
processor time that a picture takes: what other programs do is not in it. The peak is that of a
large matrix product.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeppneumonia.datasets import AugmentConfig, SliceCache, SliceLoader
from deeppneumonia.datasets.cache import SliceEntry, SliceStatus
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.models.cost import giga_macs
from deeppneumonia.models.network import NetworkOutput
from deeppneumonia.training import Precision, TrainConfig
from deeppneumonia.training.batches import Trainable
from deeppneumonia.training.loop import Learner, forward

CLASSES = ClassSet(("covid", "bacterial", "healthy"))
CONFIG = TrainConfig(epochs=1000, learning_rate=1e-4, amp=Precision.BF16, batch_size=16)
SLICES_A_PATIENT = 10


class Smallest(nn.Module):
    """One convolution: next to nothing to compute, so that only the loop's own work is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 4, stride=4)
        self.head = nn.Linear(4, len(CLASSES))

    def forward(self, pictures: Tensor) -> NetworkOutput:
        features = self.stem(pictures.float() / 255).relu().mean(dim=(2, 3))
        return NetworkOutput(logits=self.head(features).float(), features=features)

    def loss(
        self,
        output: NetworkOutput,
        targets: Tensor,
        weights: Tensor | None,
        lesions: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        return nn.functional.cross_entropy(output.logits, targets, weights)


def simulated_cache(folder: Path, slices: int, side_px: int) -> SliceCache:
    """A memory-mapped cache of noise, ten slices a patient."""
    path = folder / f"{slices}-{side_px}.npy"
    pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (slices, side_px, side_px))
    noise = np.random.default_rng(0).integers(0, 256, (256, side_px, side_px), np.uint8)
    for start in range(0, slices, len(noise)):
        pictures[start : start + len(noise)] = noise[: slices - start]
    pictures.flush()
    entries = tuple(
        SliceEntry(
            line=number,
            patient_id=f"patient {number // SLICES_A_PATIENT}",
            label=CLASSES.labels[number // SLICES_A_PATIENT % len(CLASSES)],
            site="",
            split="train",
            slice_index=number % SLICES_A_PATIENT,
            array_row=number,
            status=SliceStatus.KEPT,
            reason="",
        )
        for number in range(slices)
    )
    return SliceCache(np.load(path, mmap_mode="r"), entries)


def loader_of(cache: SliceCache, batch_size: int) -> SliceLoader:
    return SliceLoader(
        cache, cache.entries_of("train"), CLASSES, batch_size=batch_size, seed=0,
        augment=AugmentConfig(), input_px=cache.pictures.shape[1],
    )  # fmt: skip


def waited(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Rates = NDArray[np.float64]
"""By the clock and by processor time."""


def now() -> NDArray[np.float64]:
    """Seconds by the clock, and of processor time of all threads."""
    return np.array([time.perf_counter(), time.process_time()])


def bare_rate(learner: Learner, batch: Tensor, labels: Tensor, steps: int) -> Rates:
    """Pictures per second without a loader, a check of the loss, or anything else."""
    learner.network.train(True)
    waited(learner.device)
    began = now()
    for _ in range(steps):
        output = forward(learner.network, batch, learner.config)
        loss = learner.network.loss(output, labels, None)
        learner.optimizer.zero_grad()
        loss.backward()
        learner.optimizer.step()
    waited(learner.device)
    return steps * len(batch) / (now() - began)


def loop_rate(learner: Learner, loader: SliceLoader, epoch: int) -> Rates:
    """Pictures per second as a training has them."""
    loader.set_epoch(epoch)
    waited(learner.device)
    began = now()
    learner.train_epoch(loader, epoch, lambda: None)
    waited(learner.device)
    pictures = learner.config.max_steps_per_epoch * learner.config.batch_size
    return pictures / (now() - began)


def peak_macs(device: torch.device, precision: torch.dtype = torch.bfloat16) -> float:
    """Multiply-adds per second of a product of two matrices of 2,048 x 2,048."""
    a, b = (torch.randn(2048, 2048, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        waited(device)
        seconds.append(time.perf_counter() - began)
    return 2048**3 / min(seconds)


def compare(
    name: str, network: nn.Module, side_px: int, folder: Path, device: torch.device, steps: int
) -> None:
    """Rounds of both rates in turn; the ratio is taken within each round."""
    config = replace(CONFIG, max_steps_per_epoch=steps)
    network.to(device, memory_format=torch.channels_last)
    trainable: Trainable = network  # type: ignore[assignment]
    learner = Learner(trainable, config, None)
    cache = simulated_cache(folder, config.batch_size * (steps + 1), side_px)
    loader = loader_of(cache, config.batch_size)
    batch = torch.from_numpy(np.array(cache.pictures[: config.batch_size, None])).to(device)
    labels = torch.arange(config.batch_size, device=device) % len(CLASSES)
    bare_rate(learner, batch, labels, 2)  # what is made on first use
    rounds, peaks = [], []
    for number in range(1, 6):
        before = bare_rate(learner, batch, labels, steps)
        loop = loop_rate(learner, loader, number)
        after = bare_rate(learner, batch, labels, steps)
        bare = 2 / (1 / before + 1 / after)  # the loop lies between them
        rounds.append((loop / bare, loop, bare))
        peaks.append(peak_macs(device))
    (ratio, cpu_ratio), (loop, _), (bare, _) = np.median(rounds, axis=0)
    used = (
        3e9 * giga_macs(network, side_px) * loop / max(peaks)
    )  # the backward pass costs twice one
    (lowest, cpu_lowest), (highest, cpu_highest) = (
        pick([ratios for ratios, _, _ in rounds], axis=0) for pick in (np.min, np.max)
    )
    print(
        f"| {name}, {side_px} px | {bare:.1f} | {loop:.1f} | {ratio:.3f} "
        f"({lowest:.3f}-{highest:.3f}) | {cpu_ratio:.3f} ({cpu_lowest:.3f}-{cpu_highest:.3f}) "
        f"| {used:.0%} |",
        flush=True,
    )


def epochs_by_slices(folder: Path, side_px: int = 32) -> None:
    """What an epoch costs for 1,000, 10,000 and 100,000 slices."""
    print(f"\n| slices, {side_px} px | s an epoch | processor us a slice |\n|---|---|---|")
    for slices in (1_000, 10_000, 100_000):
        loader = loader_of(simulated_cache(folder, slices, side_px), 64)
        learner = Learner(Smallest(), replace(CONFIG, amp=Precision.OFF), None)  # type: ignore[arg-type]
        began = now()
        one_epoch(loader, learner)
        seconds, of_processor = now() - began
        print(f"| {slices:,} | {seconds:.2f} | {1e6 * of_processor / slices:.0f} |", flush=True)


def one_epoch(loader: SliceLoader, learner: Learner) -> None:
    loader.set_epoch(1)
    learner.train_epoch(loader, 1, lambda: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=6, help="of a round")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{device}, {torch.get_num_threads()} threads, bf16, batches of {CONFIG.batch_size}")
        print("\n| network | bare, pictures/s | loop | loop / bare | by processor time "
              "| of the peak |")  # fmt: skip
        print("|---|---|---|---|---|---|")
        compare("resnet18", create_model("resnet18", 3), 128, folder, device, 4 * given.steps)
        compare("resnet50", create_model("resnet50", 3), 224, folder, device, given.steps)
        epochs_by_slices(folder)


if __name__ == "__main__":
    main()
