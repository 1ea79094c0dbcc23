"""The least that each stage must cost on this machine: its operations and bytes at the ceilings."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path

import numpy as np
import torch

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.models.cost import giga_macs

SIDE = 2048
COPIED_BYTES = 2**27
CONVOLUTIONS = ((256, 28, 1), (256, 14, 3), (512, 14, 1), (128, 28, 3))
"""Channels, side and kernel, as in the stages of a ResNet-50."""

CHAIN, TURNS = 8, 10


@dataclass(frozen=True, slots=True)
class Stage:
    """What one part of the work needs."""

    name: str
    operations: float
    """Multiplications and additions in matrix products and convolutions."""

    bytes: float
    """Read and written at least once."""

    measured_s: float

    def least_s(self, operations_per_s: float, bytes_per_s: float) -> float:
        """The larger of the two bounds."""
        return max(self.operations / operations_per_s, self.bytes / bytes_per_s)


def matrix_ceilings() -> dict[str, float]:
    """Operations a second on all cores, by precision: the best of any product or convolution."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    small_a, small_b = a.bfloat16(), b.bfloat16()
    bytes_a, bytes_b = (each.clamp(-2, 2).mul(63).to(torch.int8) for each in (a, b))
    products: dict[str, Callable[[], object]] = {
        "f32": lambda: a @ b,
        "bf16": lambda: small_a @ small_b,
        "int8": lambda: torch._int_mm(bytes_a, bytes_b),
    }
    rates = {name: 2 * SIDE**3 / best(product) for name, product in products.items()}
    for name in ("f32", "bf16"):
        found = [convolution_rate(name, *shape) for shape in CONVOLUTIONS]
        rates[name] = max(rates[name], *found)
    return rates


def convolution_rate(precision: str, channels: int, side_px: int, kernel: int) -> float:
    """Operations a second of a chain of equal convolutions, a picture to each core, by OpenVINO."""
    import openvino
    from openvino import opset8 as ops

    seen = value = ops.parameter([1, channels, side_px, side_px], np.float32)
    weights = np.random.default_rng(0).normal(0, 0.01, (channels, channels, kernel, kernel))
    ends = [kernel // 2, kernel // 2]
    for _ in range(CHAIN):
        value = ops.convolution(value, weights.astype(np.float32), [1, 1], ends, ends, [1, 1])
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    model = openvino.Model([value], [seen], "chain")
    compiled = openvino.Core().compile_model(model, "CPU", hints)
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(count)]

    def run() -> None:
        for _ in range(TURNS):
            for request in requests:
                request.wait()
                request.start_async()
        for request in requests:
            request.wait()

    operations = 2 * channels**2 * kernel**2 * side_px**2 * CHAIN
    return count * TURNS * operations / best(run)


def copy_ceiling() -> float:
    """Bytes a second that all cores together can copy from memory to memory; the best of 5."""
    parts = [(np.ones(COPIED_BYTES, np.uint8), np.empty(COPIED_BYTES, np.uint8)) for _ in range(2)]
    with ThreadPoolExecutor(cpu_count()) as pool:
        seconds = best(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), parts)))
    return len(parts) * COPIED_BYTES / seconds


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of the fastest round, after one that does not count."""
    work()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def stages(
    study: Path, checkpoint: Checkpoint, slices: int, measured: dict[str, float]
) -> Sequence[Stage]:
    """What must be done for `slices` slices of a study: read, lungs, network.

    Args:
        study: a folder of uncompressed slices.
        checkpoint: the network that answers.
        slices: examined.
        measured: seconds by stage, of `timing_s`.
    """
    files = [file.stat().st_size for file in study.iterdir()]
    pixels = 512 * 512
    headers = sum(max(size - 2 * pixels, 0) for size in files)
    side = checkpoint.metadata.preprocessing.picture_px
    weights = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    return (
        Stage("read: every header", 0, headers, measured["read"]),
        # The stored slice and HU (16 bits each) once, grey level, mask and picture out.
        Stage("lungs", 0, slices * (4 * pixels + 2 * pixels + side**2), measured["lungs"]),
        Stage(
            "network",
            2e9 * giga_macs(checkpoint.network, side) * slices,
            weights + slices * side**2,
            measured["network"],
        ),
    )
