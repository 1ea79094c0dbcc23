"""A recipe in, a calibrated checkpoint out; the test patients are not touched."""

import functools
import json
import logging
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from deeppneumonia.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from deeppneumonia.datasets import (
    Manifest,
    SliceCache,
    SliceLoader,
    build_cache,
    write_manifest,
)
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.datasets.lesions import LesionMaps, lesion_maps
from deeppneumonia.errors import ConfigError, ManifestError, TrainingError
from deeppneumonia.files import write_whole
from deeppneumonia.inference.engines import choose_device
from deeppneumonia.models import Network, StartWeights, create_model, load_start_weights
from deeppneumonia.training import Loaders, Trainer, TrainingResult
from deeppneumonia.training.distributed import joined_by_torchrun, team
from deeppneumonia.workflows.calibration import calibrated
from deeppneumonia.workflows.heads import check_heads, fit_heads
from deeppneumonia.workflows.outliers import with_statistics
from deeppneumonia.workflows.prepare import MADE_SITES, patients_by_part, read_divided
from deeppneumonia.workflows.recipes import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe came to."""

    checkpoint: Path
    sha256: str
    best_epoch: int
    best_auc: float
    """Patient AUC of the checkpoint on the validation patients that chose the epoch: too good for
    others."""

    patients: dict[str, dict[str, int]]

    def summary(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return {**asdict(self), "checkpoint": str(self.checkpoint)}


@joined_by_torchrun()
def train_recipe(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    start: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    quiet: bool = False,
    divided: Manifest | None = None,
) -> Trained | None:
    """Prepare, train, calibrate and save; goes on where an earlier run of the same recipe ended.

    Started several times by torchrun, all processes train together, and the first one alone
    calibrates, saves and returns something; `out` must be a folder that all of them can read.

    Args:
        recipe: everything that the result depends on, but for the start weights.
        data: folder that the recipe's manifests lie in.
        out: gets the split, the training state and `checkpoint.safetensors`; the cache of slices
            lies beside it, for other runs to share.
        start: file with start weights, `imagenet`, or None for random ones.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows preprocessed, rows in all).
        quiet: show no bar for the steps of training.
        divided: rows below `data` with their splits, instead of those that the recipe names. Such
            a checkpoint is there to be compared: it learns nothing of strange studies.

    Raises:
        ManifestError, WeightsError, ConfigError: if something that was named cannot be used.
        TrainingError: if no training or validation slice is left, or training fails.
    """
    commit()  # now: the source may move on while this trains
    # Whatever can be refused is, before anything is written or an hour is spent on slices.
    manifest = divided or read_divided(recipe.data, data, recipe.classes.labels)
    check_heads(recipe, manifest)
    network, started = start_network(recipe, start)
    network.to(choose_device(device))
    out.mkdir(parents=True, exist_ok=True)
    _same_run(out / "run.json", manifest, recipe, started)
    write_manifest(manifest, out / "split.csv", folder=data)  # for `evaluate --split test`
    cache = build_cache(manifest, recipe.preprocessing, out.parent / "cache", progress)
    lesions = _lesions_of(recipe, manifest, cache)
    result = Trainer(progress=not quiet).fit(
        network, loaders_of(recipe, cache, lesions), recipe.training, out
    )
    if not team().is_first:
        return None
    if recipe.fit_heads:
        result = replace(result, best_auc=fit_heads(network, recipe, cache))
    plain = CheckpointMetadata(
        model=recipe.model, classes=recipe.classes, preprocessing=recipe.preprocessing
    )
    raw = out / "uncalibrated.safetensors"
    save_checkpoint(raw, network, _with_history(plain, manifest, recipe, started, result))
    path = out / "checkpoint.safetensors"
    sha256 = _calibrate(raw, path, manifest, cache, device, is_compared=divided is not None)
    raw.unlink()
    return Trained(path, sha256, result.best_epoch, result.best_auc, patients_by_part(manifest))


def _calibrate(
    raw: Path, path: Path, manifest: Manifest, cache: SliceCache, device: str, *, is_compared: bool
) -> str:
    """Write the checkpoint that is meant to be used, and give its sha256.

    It is calibrated as it will be used, in half precision; until then there is no file that
    somebody could take for it.
    """
    shipped = load_checkpoint(raw)
    if not is_compared:
        shipped = replace(shipped, metadata=with_statistics(shipped, cache, device))
    return save_checkpoint(path, shipped.network, calibrated(shipped, manifest, cache, device))


def _same_run(path: Path, manifest: Manifest, recipe: Recipe, started: StartWeights | None) -> None:
    """Refuse to go on with other data, another recipe or other start weights than a run began with.

    What training itself resumes from knows its own config, but not where pictures came from.
    """
    identity = json.dumps(
        {
            "model": recipe.model,
            "classes": recipe.classes.labels,
            "manifest_sha256": manifest.sha256,
            "preprocessing": recipe.preprocessing.to_dict(),
            "start_sha256": started and started.sha256,
            **recipe_name_and_numbers(recipe),
        },
        indent=2,
    )
    if path.exists() and path.read_text() != identity:
        raise TrainingError(
            f"{path.parent} holds a run with other data, another recipe or other start weights "
            f"(see {path.name}): name another output folder, or take that one away."
        )
    write_whole(path, identity)


def start_network(recipe: Recipe, start: str | None) -> tuple[Network, StartWeights | None]:
    """The recipe's network, seeded, with start weights where some are named."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.training.seed)
        network = create_model(recipe.model, len(recipe.classes))
    if not network.takes_any_size and recipe.preprocessing.picture_px != network.input_px:
        raise ConfigError(
            f"The recipe makes pictures of {recipe.preprocessing.picture_px} px, {network.name} "
            f"reads {network.input_px} px: set picture_px = {network.input_px}."
        )
    if start is None:
        return network, None
    return network, load_start_weights(network, start)


def _lesions_of(recipe: Recipe, manifest: Manifest, cache: SliceCache) -> LesionMaps | None:
    """What the recipe's masks say; None where it names no site to learn lesions from."""
    sites = recipe.data.lesion_sites
    if not sites:
        return None
    drawn = {row.site for row in manifest.rows_of("train") if row.lesion_mask}
    if missing := set(sites) - drawn:
        raise ManifestError(
            f"No training row of the site {sorted(missing)[0]!r} names a lesion mask, and the "
            f"recipe's lesion_sites wants to learn from it; there are masks of: "
            f"{', '.join(sorted(drawn)) or 'no site'}."
        )
    return lesion_maps(manifest, cache, recipe.preprocessing, sites)


def loaders_of(recipe: Recipe, cache: SliceCache, lesions: LesionMaps | None = None) -> Loaders:
    """Training slices, sampled and augmented, and validation slices as they are.

    Raises:
        TrainingError: if either part has no usable slice, or none of a class that has rows there.
    """
    entries = {part: cache.entries_of(part) for part in ("train", "validation")}
    for part, found in entries.items():
        named = {entry.label for entry in cache.index if entry.split == part}
        lost = sorted(named - {entry.label for entry in found})
        if lost or not found:
            whose = f" of {' or '.join(lost)}" if lost else ""
            raise TrainingError(
                f"No {part} slice{whose} is left after preprocessing, at least one of each class "
                f"is needed: look at the reasons with `deeppneumonia prepare`."
            )

    def loader(part: str, *, is_training: bool) -> SliceLoader:
        return SliceLoader(
            cache,
            entries[part],
            recipe.classes,
            batch_size=recipe.training.batch_size,
            seed=recipe.training.seed,
            augment=recipe.augmentation if is_training else None,
            slices_per_patient=recipe.data.slices_per_patient if is_training else None,
            input_px=recipe.preprocessing.picture_px,
            lesions=lesions if is_training else None,
        )

    train = loader("train", is_training=True)
    return Loaders(train, loader("validation", is_training=False), train.class_counts)


def _with_history(
    metadata: CheckpointMetadata,
    manifest: Manifest,
    recipe: Recipe,
    started: StartWeights | None,
    result: TrainingResult,
) -> CheckpointMetadata:
    """The same metadata, with where it all comes from."""
    provenance = {
        "recipe": recipe_name_and_numbers(recipe),
        "manifest_sha256": manifest.sha256,
        **_people(manifest),
        "start": None if started is None else {"file": started.source, "sha256": started.sha256},
        "version": version("deeppneumonia"),
        "commit": commit(),
        "licence": "research, non-commercial",
    }
    metrics = {
        **metadata.metrics,
        "training": {"best_epoch": result.best_epoch, "validation_patient_auc": result.best_auc},
    }
    return replace(metadata, provenance=provenance, metrics=metrics)


def _people(manifest: Manifest) -> dict[str, Any]:
    """How many patients there were by part, and how many made ones trained beside them, by site.

    Where all are made, they stand for the patients.
    """
    real = [row for row in manifest.rows if row.site not in MADE_SITES]
    if not real:
        return {"patients": patients_by_part(manifest)}
    made = {(row.site, row.patient_id) for row in manifest.rows_of("train")}
    counts = Counter(site for site, _ in made if site in MADE_SITES)
    return {
        "patients": patients_by_part(manifest.with_rows(real)),
        "made": dict(sorted(counts.items())),
    }


def recipe_name_and_numbers(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON types, but for the preprocessing, which has a place of its own."""
    return {
        "name": recipe.name,
        "fit_heads": recipe.fit_heads,
        "data": asdict(recipe.data),
        "augmentation": asdict(recipe.augmentation),
        "training": recipe.training.to_dict(),
    }


@functools.cache
def commit() -> str | None:
    """The commit of the source when first asked, with `+changes` if it was not clean; None outside
    git."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
