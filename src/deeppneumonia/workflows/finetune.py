"""A checkpoint settled at a new hospital with few labelled patients, and proof of what it gained.

The network stands still: every picture goes through it once, and only its last layer is refitted,
held to what it was. Before and after are compared on patients of the new hospital that chose
nothing; the new checkpoint is written only if it is better there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets import read_manifests
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.evaluation.learning_curve import save_learning_curve
from deeppneumonia.evaluation.patients import over_classes
from deeppneumonia.files import write_whole
from deeppneumonia.inference.engines import choose_device
from deeppneumonia.models import Network
from deeppneumonia.training.final_layer import (
    find_final_layer,
    has_batch_norm,
    head_of,
    with_statistics_of,
)
from deeppneumonia.training.span import Span
from deeppneumonia.workflows.draws import LEAST_TESTED
from deeppneumonia.workflows.finetune_save import Made, save_tuned
from deeppneumonia.workflows.finetune_scores import (
    Answered,
    are_alike,
    curve_point,
    is_better,
    is_less_surprised,
    row_of,
)
from deeppneumonia.workflows.hospital import (
    Hospital,
    Reading,
    open_hospital,
    patient_counts,
    without_test,
)
from deeppneumonia.workflows.releases import open_checkpoint
from deeppneumonia.workflows.scored import labelled, rows_of_split
from deeppneumonia.workflows.tuning import (
    Tuned,
    calibrated_patients,
    nested_answers,
    refreshed,
    tune,
)

SEED = 0
NORMALISED_ON = 64
"""About so many pictures give batch norm its statistics: each is a mean over many places."""

TUNED, REFRESHED = "fine-tuned", "calibration refreshed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """What to measure."""

    group: str | None = None
    """Column of patients who must not be divided; each patient by itself when None."""

    sizes: tuple[int, ...] = (5, 10, 20, 40)
    """Numbers of labelled patients for the learning curve."""

    old_site: Path | None = None
    """Manifest of the old hospital, to measure what is forgotten there."""

    old_split: str | None = None
    """Only rows of this split of the old hospital."""


def finetune(
    checkpoint_name: str | Path,
    manifest: Path,
    out: Path,
    config: FinetuneConfig = FinetuneConfig(),
    *,
    data: Path | None = None,
    label_map: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure what labelled patients of a new hospital gain, and write the checkpoint that is best.

    Writes finetune.json and learning_curve.png, and checkpoint.safetensors if it is better.

    Args:
        checkpoint_name: a released name or a path.
        manifest: labelled patients of the new hospital; those with split `test` are left out.
        out: made where missing; also keeps the cut slices and what the last layer was given.
        config: what to measure.
        data: what the paths in the manifests are relative to; their own folders when None.
        label_map: other words for labels, as {"cap": "bacterial"}.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (pictures done, pictures in all).

    Raises:
        CheckpointError, ManifestError, ConfigError: if something that was named cannot be used.
    """
    checkpoint = open_checkpoint(checkpoint_name)

    named = [manifest, config.old_site] if config.old_site else [manifest]
    read = read_manifests(named, folder=data, label_map=label_map)
    everybody = labelled(read[0], checkpoint)
    rows = without_test(everybody)
    old_rows = None
    if config.old_site:
        old_rows = labelled(rows_of_split(read[1], config.old_split, "--old-split"), checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.network.to(choose_device(device))
    cache = out / "cache"
    new = replace(
        open_hospital(rows, checkpoint, cache, config.group, progress),
        test_patients=len(everybody.patients) - len(rows.patients),
    )
    old = open_hospital(old_rows, checkpoint, cache, None, progress) if old_rows else None
    layer = find_final_layer(checkpoint.network, new.pictures[0])
    found = _compared(Reading(checkpoint, layer, cache, progress), new, old, config.sizes, out)
    drawn = [point for point in found["learning_curve"] if point.get("gain")]
    if drawn:
        save_learning_curve(drawn, out / "learning_curve.png")
    write_whole(out / "finetune.json", json.dumps(found, indent=2, allow_nan=False))
    return found


def _are_enough(answered: Answered) -> bool:
    """Whether the guard can be believed: an interval from two or three patients is none."""
    return bool(np.bincount(answered.labels).min() >= LEAST_TESTED)


def _worth_writing(
    answered: Answered,
    tuned: NDArray[np.float64],
    refreshed: NDArray[np.float64],
    as_it_is: NDArray[np.float64],
) -> str | None:
    """The row whose checkpoint is better than what there is; None to keep that."""
    if not _are_enough(answered):
        return None
    if is_better(answered, tuned, refreshed):
        return TUNED
    if are_alike(as_it_is):
        return None
    return REFRESHED if is_less_surprised(answered, refreshed, as_it_is) else None


def _compared(
    reading: Reading, new: Hospital, old: Hospital | None, sizes: Sequence[int], out: Path
) -> dict[str, Any]:
    """Everything that is measured; the checkpoint is saved if it is better."""
    checkpoint = reading.checkpoint
    before = Tuned(
        head_of(checkpoint.network, reading.layer), checkpoint.metadata.temperature, float("inf")
    )
    seen = reading.look(new.pictures)
    known = new.slices(seen.inputs)
    span = Span.of(seen.inputs)
    short = new.slices(span.shorten(seen.inputs))
    start = replace(before, head=span.shorten_head(before.head))
    tuned = tune(start.head, start.temperature, short, seed=SEED)
    tuned = replace(tuned, head=span.lengthen_head(before.head, tuned.head))
    labels, as_it_is = calibrated_patients(before, known)
    answered = Answered(labels, [checkpoint.metadata.classes.labels[c] for c in known.present])
    held_out = nested_answers(start.head, start.temperature, short, seed=SEED)
    rows = {"as it is": row_of(answered, as_it_is, as_it_is)}
    written, made = None, None
    if held_out is not None:
        of_tuned, of_refreshed = (over_classes(one, known.present) for one in held_out)
        rows[REFRESHED] = row_of(answered, of_refreshed, as_it_is)
        rows[TUNED] = row_of(answered, of_tuned, as_it_is)
        written = _worth_writing(answered, of_tuned, of_refreshed, as_it_is)
        if written == TUNED:
            made = Made(tuned, held_out[0], seen.features, known)
        elif written == REFRESHED:
            made = Made(refreshed(before, known), held_out[1], seen.features, known)
    rows |= _without_labels(reading, before, new, old, answered, as_it_is)
    result: dict[str, Any] = {
        "patients": patient_counts(new, checkpoint),
        "test_patients": new.test_patients,
        "groups": len(set(new.groups.tolist())),
        "network": {"model": checkpoint.metadata.model, "sha256": checkpoint.sha256,
                    "layer": reading.layer},
        "manifest_sha256": new.manifest.sha256,
        "rows": rows,
        "learning_curve": [curve_point(start, short, n, seed=SEED) for n in sizes],
        "written": written,
        "penalty": None if np.isinf(tuned.penalty) else tuned.penalty,
        "old_site": None if old is None else _forgotten(reading, before, tuned, old),
        "checkpoint": None,
        "decision": _decision(
            written,
            is_measured=held_out is not None,
            are_enough=_are_enough(answered),
            are_told_apart=not are_alike(as_it_is),
        ),
        "version": version("deeppneumonia"),
    }  # fmt: skip
    if made is not None:
        path = out / "checkpoint.safetensors"
        result["checkpoint"] = {
            "file": path.name,
            "sha256": save_tuned(reading, made, result, path),
        }
    return result


def _without_labels(
    reading: Reading, before: Tuned, new: Hospital, old: Hospital | None,
    answered: Answered, as_it_is: NDArray[np.float64],
) -> dict[str, Any]:  # fmt: skip
    """Rows of adaptation that no label took part in."""
    network = reading.checkpoint.network

    def scored(how: str, make: Callable[[], Network]) -> dict[str, Any]:
        known = new.slices(reading.look(new.pictures, how, make).inputs)
        return row_of(answered, calibrated_patients(before, known)[1], as_it_is)

    rows: dict[str, Any] = {}
    title = "no labels: batch-norm statistics"
    if has_batch_norm(network):
        some = new.pictures[:: max(1, len(new.pictures) // NORMALISED_ON)]
        rows[title] = scored("batch norm", lambda: with_statistics_of(network, some))
    else:
        rows[title] = {"not_done": "the network has no batch normalisation"}
    title = "no labels: intensity statistics"
    if old is None:
        rows[title] = {"not_done": "needs pictures of the old hospital: name its manifest"}
    else:
        rows[title] = scored(
            f"intensity of {old.manifest.sha256}",
            lambda: _with_scale_of(network, old.pictures, new.pictures),
        )
    return rows


def _with_scale_of(network: Network, old: NDArray[np.uint8], new: NDArray[np.uint8]) -> Network:
    """A copy for which the new hospital's grey levels have the old one's mean and deviation."""
    scale = deepcopy(network)
    old_mean, old_sd = float(old.mean()) / 255, float(old.std()) / 255
    new_mean, new_sd = float(new.mean()) / 255, float(new.std()) / 255
    ratio = new_sd / old_sd
    scale.set_pixel_scale(
        [new_mean - (old_mean - mean) * ratio for mean in network.pixel_mean.tolist()],
        [sd * ratio for sd in network.pixel_std.tolist()],
    )
    return scale


def _forgotten(reading: Reading, before: Tuned, tuned: Tuned, old: Hospital) -> dict[str, Any]:
    """The old hospital's patients by the old head and by the new one."""
    known = old.slices(reading.look(old.pictures).inputs)
    if len(known.present) < 2:
        return {"not_done": "the old hospital's patients have one label, two are needed"}
    labels, then = calibrated_patients(before, known)
    _, now = calibrated_patients(tuned, known)
    words = reading.checkpoint.metadata.classes.labels
    answered = Answered(labels, [words[c] for c in known.present])
    return {"before": row_of(answered, then, then), "after": row_of(answered, now, then)}


def _decision(
    written: str | None, *, is_measured: bool, are_enough: bool, are_told_apart: bool
) -> str:
    if written == TUNED:
        return "The fine-tuned checkpoint is better on held-out patients: it was written."
    if written == REFRESHED:
        return (
            "New weights were not shown to be better on held-out patients, a new calibration was: "
            "a checkpoint with the old weights and the new calibration was written."
        )
    if not is_measured:
        return "Too few patients to hold any out: nothing can be shown, keep the old checkpoint."
    if not are_enough:
        return (
            f"Fewer than {LEAST_TESTED} patients of a label show nothing beyond doubt: keep the "
            f"old checkpoint."
        )
    if not are_told_apart:
        return (
            "All patients get one answer, as copies of one picture would: nothing can be shown, "
            "keep the old checkpoint, and look at the pictures with `deeppneumonia audit`."
        )
    return "Nothing was shown to be better on held-out patients: keep the old checkpoint."
