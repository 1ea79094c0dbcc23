"""One turn of a comparison: a network trained on a fold's patients and asked about the others."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deeppneumonia.checkpoint import Checkpoint, load_checkpoint
from deeppneumonia.datasets import Fold, Manifest, SliceCache, build_cache, grouped_folds
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.errors import ConfigError, TrainingError
from deeppneumonia.evaluation.calibration import SENSITIVITIES
from deeppneumonia.files import sha256_of, write_whole
from deeppneumonia.inference.engines import choose_device
from deeppneumonia.models import giga_macs, parameter_count
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.workflows.comparison_plan import ComparisonPlan, Contender
from deeppneumonia.workflows.comparison_store import TESTED, Turn, write_answers
from deeppneumonia.workflows.recipes import Recipe, recipe_from
from deeppneumonia.workflows.scored import score_cache
from deeppneumonia.workflows.train import commit, recipe_name_and_numbers, train_recipe

STATE_OF_TRAINING = ("last.safetensors", "best.safetensors")
"""What only an unfinished training needs; three to six times as large as the checkpoint."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a comparison takes place."""

    plan: ComparisonPlan
    manifest: Manifest
    external: Mapping[str, Manifest]
    out: Path
    device: str = "auto"
    quiet: bool = False
    progress: Progress | None = None
    announce: Callable[[str], None] = lambda _text: None
    """Called with a line for people after each turn."""

    @property
    def turns(self) -> list[Turn]:
        """Every turn of every network, in their order."""
        return [
            Turn(repeat, fold)
            for repeat in range(1, self.plan.repeats + 1)
            for fold in range(1, self.plan.folds + 1)
        ]

    def facts_of(self, name: str, turn: Turn) -> Path:
        """The JSON that says that a turn is done."""
        return self.out / "turns" / name / f"{turn}.json"

    def answers_of(self, name: str, turn: Turn, asked: str) -> Path:
        """The CSV of a turn's answers about one set."""
        return self.out / "turns" / name / f"{turn}.{asked}.csv"

    def fold_of(self, turn: Turn) -> Fold:
        """The rows that train, validate and test; the same ones for every network."""
        return grouped_folds(self.manifest, self.plan.folds, seed=turn.repeat - 1)[turn.fold - 1]

    def divided(self, turn: Turn) -> Manifest:
        """The manifest with the turn's split."""
        fold = self.fold_of(turn)
        split = np.full(len(self.manifest.rows), "", dtype=object)
        for name in ("train", "validation", "test"):
            split[getattr(fold, name)] = name
        return self.manifest.with_rows(
            replace(row, split=str(name))
            for row, name in zip(self.manifest.rows, split, strict=True)
        )

    def cache_of(self, manifest: Manifest, config: PreprocessConfig) -> SliceCache:
        """The pictures of some rows; all turns share one cache."""
        return build_cache(manifest, config, self.out / "runs" / "cache", self.progress)


def take_turn(bench: Bench, contender: Contender, turn: Turn) -> bool:
    """Train, ask and write down, each only where it has not been done; False if all had been.

    Raises:
        TrainingError: if the turn was taken under another recipe, or training fails.
    """
    facts_file = bench.facts_of(contender.name, turn)
    recipe = {"model": contender.recipe.model, **recipe_name_and_numbers(contender.recipe)}
    recipe["preprocessing"] = contender.recipe.preprocessing.to_dict()
    known = json.loads(facts_file.read_text()) if facts_file.exists() else None
    if known is not None and not _is_written(known["recipe"], contender.recipe):
        raise TrainingError(
            f"{bench.out} holds {contender.name} trained by another recipe: name another output "
            f"folder, or take {facts_file.parent.name} out of its folder `turns`."
        )
    if known is not None and not _is_same_start(known["start"], contender.start):
        raise TrainingError(
            f"{bench.out} holds {contender.name} trained from other start weights: name another "
            f"output folder, or take {facts_file.parent.name} out of its folder `turns`."
        )
    sets = {
        name: manifest
        for name, manifest in bench.external.items()
        if not bench.answers_of(contender.name, turn, name).exists()
    }
    if known is not None and not sets:
        return False
    run = bench.out / "runs" / f"{contender.name}-{turn}"
    divided = bench.divided(turn)
    started = time.perf_counter()
    if known is None:
        _train(bench, contender, divided, run)
    checkpoint = load_checkpoint(run / "checkpoint.safetensors")
    for name, manifest in sets.items():
        _ask(bench, checkpoint, manifest, (contender.name, name, turn))
    if known is not None:
        return True
    tested = divided.with_rows(divided.rows_of("test"))
    speed = _ask(bench, checkpoint, tested, (contender.name, TESTED, turn))
    facts = {
        **_facts(checkpoint, turn),
        **speed,
        "turn_s": round(time.perf_counter() - started, 1),
        "device": _device_name(bench.device),
        "recipe": recipe,
    }
    write_whole(facts_file, json.dumps(facts, indent=1, allow_nan=False))
    for name in STATE_OF_TRAINING:
        (run / name).unlink(missing_ok=True)
    return True


def _is_written(known: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether this recipe was written down, perhaps before recipes had all of today's entries."""
    try:
        return recipe_from({**known, "classes": list(recipe.classes.labels)}) == recipe
    except ConfigError:  # it says what no recipe says
        return False


def _is_same_start(known: Mapping[str, str] | None, start: str | None) -> bool:
    """Whether a turn began from these weights, by what the file holds and not by its name."""
    if known is None or start is None:
        return known is None and start is None
    return start == "imagenet" or known["sha256"] == sha256_of(Path(start))


def _train(bench: Bench, contender: Contender, divided: Manifest, run: Path) -> None:
    checkpoint = run / "checkpoint.safetensors"
    if checkpoint.exists() and not (run / STATE_OF_TRAINING[0]).exists():
        shutil.rmtree(run)  # its facts were taken away by hand, so it is to be trained again
    train_recipe(
        contender.recipe,
        divided.folder,
        run,
        start=contender.start,
        device=bench.device,
        progress=bench.progress,
        quiet=bench.quiet,
        divided=divided,
    )


def _ask(
    bench: Bench, checkpoint: Checkpoint, manifest: Manifest, where: tuple[str, str, Turn]
) -> dict[str, float | int]:
    """Write one set's answers down; how long the network took for how many slices and patients."""
    contender, name, turn = where
    cache = bench.cache_of(manifest, checkpoint.metadata.preprocessing)
    started = time.perf_counter()
    scored = score_cache(cache, checkpoint, device=bench.device)
    seconds = time.perf_counter() - started
    path = bench.answers_of(contender, turn, name)
    labels = checkpoint.metadata.classes.labels
    write_answers(path, (name, turn), labels, scored.entries, scored.probabilities)
    return {
        "asking_s": round(seconds, 3),
        "asked_slices": len(cache.kept),
        "asked_patients": len({entry.patient_id for entry in cache.kept}),
    }


def _facts(checkpoint: Checkpoint, turn: Turn) -> dict[str, Any]:
    """What a turn's checkpoint knows of itself, and what it costs."""
    metadata, network = checkpoint.metadata, checkpoint.network
    points = {point.target: point.threshold for point in metadata.thresholds.operating_points}
    return {
        "repeat": turn.repeat,
        "fold": turn.fold,
        "model": metadata.model,
        "start": metadata.provenance["start"],
        "parameters": parameter_count(network),
        "gmac": round(giga_macs(network, metadata.preprocessing.picture_px), 3),
        "temperature": metadata.temperature,
        "operating_points": [points.get(target) for target in SENSITIVITIES],
        "training": metadata.metrics["training"],
        "commit": commit(),
        "torch": torch.__version__,
    }


def _device_name(device: str) -> str:
    chosen = choose_device(device)
    if chosen.type == "cuda":
        return torch.cuda.get_device_name(chosen)
    return f"cpu, {torch.get_num_threads()} threads"
