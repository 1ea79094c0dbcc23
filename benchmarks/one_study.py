"""Seconds for one study of 300 slices, beside other ways of doing the same, in one run.

    python benchmarks/one_study.py --out benchmarks/results/one_study.json
    python benchmarks/one_study.py --check benchmarks/results/one_study.json

All take turns, round by round, on the same files in the same process; ratios of the fastest rounds
are what counts. --check measures the ratios anew and fails when one is more than a fifth below the
stored.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import speed_limits
import speed_others
import torch
from speed_studies import make_studies

from deeppneumonia.inference import TorchEngine
from deeppneumonia.inference.engine_files import Precision
from deeppneumonia.inference.export import backbone_graph, quantised
from deeppneumonia.inference.openvino import CompiledBackbone
from deeppneumonia.preprocessing import examine
from deeppneumonia.readers import read_volume
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.releases import checkpoint_file, open_checkpoint

SLICES = 300
OURS = "OpenVINO f32"
"""The fastest engine whose answers stay those of torch, so the one that counts; the others are
shown for what they would save."""

ALLOWED_LOSS = 0.2
Work = Callable[[], Mapping[str, float] | None]


def main() -> None:
    arguments = _arguments()
    studies = make_studies(arguments.studies, SLICES)
    ours = engines(arguments.checkpoint, studies["uncompressed"])
    contestants = _ours(ours, studies) | _others(arguments.checkpoint, ours["torch"], studies)
    found = take_turns(contestants, arguments.rounds)
    ratios = _ratios(found, SLICES)
    _print(found, ratios)
    starts = cold_starts(arguments.checkpoint, studies["JPEG Lossless"])
    print("\n| from the shell | s |\n|---|---|")
    for name, seconds in starts.items():
        print(f"| {name} | {seconds:.2f} |")
    ceilings = _print_limits(found, ours["torch"], studies["uncompressed"])
    record = {
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "seconds": found,
        "ratios": ratios,
        "from_the_shell": starts,
        "ceilings": ceilings,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.check:
        sys.exit(_lost(ratios, json.loads(arguments.check.read_text())["ratios"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--checkpoint", default="default", help="a model's name or a file")
    place = Path(tempfile.gettempdir()) / "deeppneumonia-speed"
    parser.add_argument("--studies", type=Path, default=place, help="made there if missing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON of all figures")
    parser.add_argument("--check", type=Path, help="JSON of an earlier run to hold this one to")
    return parser.parse_args()


def engines(
    checkpoint: str, study: Path, precisions: Iterable[Precision] = tuple(Precision)
) -> dict[str, Diagnoser]:
    """The same checkpoint by torch, and by OpenVINO in each precision.

    int8 takes its ranges from the phantom: good for speed, for nothing else.
    """
    loaded = open_checkpoint(checkpoint)
    graph = backbone_graph(loaded)
    pictures = np.stack(
        [one.picture for one in examine(read_volume(study), loaded.metadata.preprocessing).kept]
    )
    found = {"torch": Diagnoser(loaded, device="cpu")}
    for precision in reversed(tuple(precisions)):
        wanted = quantised(graph, loaded, pictures) if precision is Precision.INT8 else graph
        own = replace(loaded, network=deepcopy(loaded.network))
        engine = TorchEngine(own, device="cpu", batch=16)
        engine.name = f"OpenVINO, {precision}"
        own.network.backbone.runner = CompiledBackbone(wanted, precision)
        found[f"OpenVINO {precision}"] = Diagnoser(own, engine=engine)
    return found


def _ours(ours: Mapping[str, Diagnoser], studies: Mapping[str, Path]) -> dict[str, Work]:
    def read(diagnoser: Diagnoser, study: Path) -> Mapping[str, float]:
        return diagnoser.read(study).diagnosis.timing_s

    return {
        f"ours, {engine}, {syntax}": lambda d=diagnoser, s=study: read(d, s)
        for engine, diagnoser in ours.items()
        for syntax, study in studies.items()
    }


def _others(checkpoint: str, ours: Diagnoser, studies: Mapping[str, Path]) -> dict[str, Work]:
    """Those whose libraries are installed; the others are named."""
    packed, config = studies["JPEG Lossless"], ours.metadata.preprocessing
    network = ours.checkpoint.network
    published, published_config = speed_others.eight_passes()
    pictures = np.zeros((15, config.picture_px, config.picture_px), np.uint8)
    found: dict[str, Work] = {
        "SimpleITK, whole volume": lambda: _nothing(speed_others.plain_read(packed)),
        "plain pipeline, same network": lambda: speed_others.plain_pipeline(
            packed, network, config
        ),
        "plain pipeline, published eight passes": lambda: speed_others.plain_pipeline(
            packed, published, published_config
        ),
        "same network alone, torch": lambda: _nothing(TorchEngine.run(ours._engine, pictures)),
    }
    extra: dict[str, Callable[[], Work]] = {
        "MONAI, whole volume": lambda: lambda: speed_others.monai_read(packed),
        "lungmask's network": lambda: _segmenting(speed_others.lungmask_network()),
        "same network alone, ONNX Runtime": lambda: _asking(
            speed_others.onnx_runtime(checkpoint_file(checkpoint)), pictures
        ),
    }
    for name, make in extra.items():
        try:
            work = make()
            work()
        except ImportError as error:
            print(f"{name}: left out, {error.name} is not installed", file=sys.stderr)
        except Exception as error:  # of a library that is only compared with
            print(f"{name}: left out, {type(error).__name__}: {error}"[:300], file=sys.stderr)
        else:
            found[name] = work
    return found


def _nothing(_: Any) -> None:
    return None


def _segmenting(network: torch.nn.Module) -> Work:
    return lambda: speed_others.segment(network)


def _asking(ask: Callable[[np.ndarray], Any], pictures: np.ndarray) -> Work:
    return lambda: _nothing(ask(pictures))


def take_turns(contestants: Mapping[str, Work], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each, and of its parts, in the fastest of the rounds in which all take their turn.

    What takes more than ten seconds runs twice at most.
    """
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):  # the first does not count, where there is another
        for name, work in contestants.items():
            slow = seconds[name] and seconds[name][-1]["wall"] > 10
            if slow and number > 1:
                continue
            start = time.perf_counter()
            parts = work() or {}
            seconds[name].append({**parts, "wall": time.perf_counter() - start})
        print(f"round {number} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return {
        name: min(runs[1:] or runs, key=lambda one: one["wall"]) for name, runs in seconds.items()
    }


def _ratios(found: Mapping[str, Mapping[str, float]], slices: int) -> dict[str, float]:
    """How many times longer others take than the accepted engine, on the compressed study."""
    ours = found[f"ours, {OURS}, JPEG Lossless"]
    whole = ours["wall"]
    times = {
        "ours, torch": ("ours, torch, JPEG Lossless", whole),
        "ours, OpenVINO bf16 (refused)": ("ours, OpenVINO bf16, JPEG Lossless", whole),
        "ours, OpenVINO int8 (refused)": ("ours, OpenVINO int8, JPEG Lossless", whole),
        "plain pipeline, same network": ("plain pipeline, same network", whole),
        "plain pipeline, published eight passes": (
            "plain pipeline, published eight passes",
            whole,
        ),
        "SimpleITK's reading v read and lungs": (
            "SimpleITK, whole volume",
            ours["read"] + ours["lungs"],
        ),
        "MONAI's reading v read and lungs": ("MONAI, whole volume", ours["read"] + ours["lungs"]),
        "same network in torch v network": ("same network alone, torch", ours["network"]),
        "same network in ONNX Runtime v network": (
            "same network alone, ONNX Runtime",
            ours["network"],
        ),
    }
    ratios = {
        name: found[other]["wall"] / mine for name, (other, mine) in times.items() if other in found
    }
    if "lungmask's network" in found:
        all_slices = found["lungmask's network"]["wall"] * slices / speed_others.LUNGMASK_SLICES
        ratios[f"lungmask's network on {slices} slices"] = all_slices / whole
    return {name: round(ratio, 2) for name, ratio in ratios.items()}


def _print(found: Mapping[str, Mapping[str, float]], ratios: Mapping[str, float]) -> None:
    parts = ("read", "lungs", "network", "explanation", "wall")
    print("| s | " + " | ".join(parts) + " |\n|---" * 1 + "|---" * len(parts) + "|")
    for name, seconds in found.items():
        cells = (f"{seconds[part]:.3f}" if part in seconds else "" for part in parts)
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| times longer than ours by OpenVINO in float32 | |\n|---|---|")
    for name, ratio in ratios.items():
        print(f"| {name} | {ratio:.1f} |")


def cold_starts(checkpoint: str, study: Path) -> dict[str, float]:
    """Wall seconds of whole commands, the fastest of three."""
    commands = {
        "--help": ["--help"],
        "info": ["info"],
        "diagnose": ["diagnose", str(study), "--checkpoint", checkpoint, "--json", "--quiet"],
    }
    found = {}
    for name, words in commands.items():
        command = [sys.executable, "-m", "deeppneumonia", *words]
        run = lambda command=command: subprocess.run(command, capture_output=True, check=True)  # noqa: E731
        found[name] = speed_limits.best(run, rounds=3)
    return found


def _print_limits(
    found: Mapping[str, Mapping[str, float]], ours: Diagnoser, study: Path
) -> dict[str, float]:
    matrix, copied = speed_limits.matrix_ceilings(), speed_limits.copy_ceiling()
    print(
        "\nCeilings: "
        + ", ".join(f"{name} {rate / 1e9:.0f} G operations/s" for name, rate in matrix.items())
        + f", copy {copied / 1e9:.1f} GB/s"
    )
    print(
        "\n| stage | G operations | MB | least s | measured s | times the least |"
        "\n|---|---|---|---|---|---|"
    )
    for precision in ("f32", "bf16", "int8"):
        measured = found[f"ours, OpenVINO {precision}, uncompressed"]
        for stage in speed_limits.stages(study, ours.checkpoint, 15, dict(measured)):
            if stage.operations or precision == "int8":
                least = stage.least_s(matrix[precision], copied)
                name = f"{stage.name}, {precision}" if stage.operations else stage.name
                print(
                    f"| {name} | {stage.operations / 1e9:.1f} | {stage.bytes / 1e6:.1f} | "
                    f"{least:.4f} | {stage.measured_s:.3f} | {stage.measured_s / least:.1f} |"
                )
    return {**matrix, "copy": copied}


def _lost(ratios: Mapping[str, float], stored: Mapping[str, float]) -> str | int:
    """What to say and fail with; 0 where no ratio fell by more than ALLOWED_LOSS."""
    lost = [
        f"{name}: {ratios.get(name, 0):.2f}, stored {before:.2f}"
        for name, before in stored.items()
        if not name.endswith("(refused)")  # that one of ours grew faster is no loss
        if ratios.get(name, 0) < (1 - ALLOWED_LOSS) * before
    ]
    return "slower than stored: " + "; ".join(lost) if lost else 0


if __name__ == "__main__":
    main()
