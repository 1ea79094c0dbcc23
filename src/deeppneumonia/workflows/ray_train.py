"""Training by a recipe in several processes of a Ray cluster; they train as one."""

import os
from pathlib import Path
from typing import Any

import torch

from deeppneumonia.workflows.heads import check_heads
from deeppneumonia.workflows.prepare import read_divided
from deeppneumonia.workflows.ray_cluster import joined_ray
from deeppneumonia.workflows.recipes import read_recipe
from deeppneumonia.workflows.train import train_recipe

FAILURES = 3
"""Processes or machines that may be lost; the others begin anew after the last whole epoch."""


def train_on_ray(
    recipe: Path, data: Path, out: Path, workers: int, *, start: str | None, device: str
) -> Path:
    """Train in so many processes, and return the checkpoint.

    All paths must lead to the same files on every machine. See `train_recipe`.

    Raises:
        ConfigError: if Ray is not installed, or the recipe is wrong.
        ManifestError: if the recipe's manifests are.
        KeyboardInterrupt: if it is stopped, by SIGTERM too.
    """
    # What is wrong is told here, and not by a process far away that is begun again FAILURES times.
    wanted = read_recipe(recipe)
    check_heads(wanted, read_divided(wanted.data, data, wanted.classes.labels))
    joined_ray()
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    facts = {"recipe": recipe, "data": data, "out": out}
    paths = {name: str(path.absolute()) for name, path in facts.items()}
    use_gpu = device != "cpu" and torch.cuda.is_available()
    trainer = TorchTrainer(
        _train,
        train_loop_config={**paths, "start": start, "device": device},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
        run_config=RunConfig(
            name="ray", storage_path=paths["out"], failure_config=FailureConfig(FAILURES)
        ),
    )
    try:
        trainer.fit()
    except SystemExit as end:  # Ctrl-C or SIGTERM: Ray ends with a code of its own
        raise KeyboardInterrupt from end
    return out / "checkpoint.safetensors"


def _train(config: dict[str, Any]) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)) if config["device"] != "cpu" else 1)
    train_recipe(
        read_recipe(Path(config["recipe"])),
        Path(config["data"]),
        Path(config["out"]),
        start=config["start"],
        device=config["device"],
        quiet=True,
    )
