"""What a checkpoint relies on, and whether it knows when not to answer: `evaluate --trust`.

Three looks. Pictures that lack something or are disturbed, of some patients. What a straight line
reads out of the frozen features, of all of them. And what is lost and won by not answering.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import Manifest, ManifestRow
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.domain import LungSlice
from deeppneumonia.evaluation import answer_set
from deeppneumonia.evaluation.bootstrap import Interval
from deeppneumonia.evaluation.patients import is_answered
from deeppneumonia.evaluation.probes import (
    leave_one_site_out,
    patient_auc_of,
    permuted,
    probe,
)
from deeppneumonia.files import write_whole
from deeppneumonia.inference import TorchEngine
from deeppneumonia.preprocessing.counterfactuals import curves, views_without
from deeppneumonia.reports.trust_page import render_trust
from deeppneumonia.workflows.abstention import Doubts, abstention, look_at
from deeppneumonia.workflows.scored import Scored
from deeppneumonia.workflows.trust_findings import trust_page

MOST_PATIENTS = 90
"""Patients whose pictures are disturbed, labels and sites in turn: each slice costs 17 looks."""

SLICES = 2
"""Slices of each of them, from the middle of the lungs."""

Thing = TypeVar("Thing")

Version = tuple[str, str]
"""Kind of change, and what lacks or how strong it is."""

Measured = Interval | str
"""A patient AUC with its interval, or in words why there is none."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """One slice whose picture is disturbed, and whose it is."""

    lung_slice: LungSlice
    patient_id: str
    label: int


Answers = Sequence[tuple[_Shown, NDArray[np.float32]]]
"""Slices of one kind of picture, and what the network says of each: (C,) probabilities."""


def examine_trust(
    checkpoint: Checkpoint,
    manifest: Manifest,
    scored: Scored,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `trust.json` and `trust.html` into `out`.

    Args:
        checkpoint: that gave the answers.
        manifest: rows that were scored.
        scored: their answers and features.
        out: a folder that exists.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows looked at, rows in all).

    Returns:
        What trust.json holds.
    """
    chosen = _chosen_patients(manifest)
    shown, doubts = _look(manifest, checkpoint, chosen, progress)
    engine = TorchEngine(checkpoint, device=device)
    found: dict[str, Any] = {
        "checkpoint": {"model": checkpoint.metadata.model, "sha256": checkpoint.sha256},
        "manifest_sha256": manifest.sha256,
        "classes": list(checkpoint.metadata.classes.labels),
        "pictures": _pictures(shown, checkpoint, engine),
        "features": _features(scored),
        "sites": _within_sites(scored),
        "abstention": abstention(checkpoint, scored, doubts),
    }
    write_whole(out / "trust.json", json.dumps(found, indent=2, allow_nan=False))
    write_whole(out / "trust.html", render_trust(trust_page(found)))
    return found


def _chosen_patients(manifest: Manifest) -> dict[str, Sequence[ManifestRow]]:
    """Up to MOST_PATIENTS with the rows to disturb, kinds of (site, label) in turn."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for patient, rows in manifest.patients.items():
        kinds[rows[0].site, rows[0].label].append(patient)
    turns = [
        (place, kind, patient) for kind, who in kinds.items() for place, patient in enumerate(who)
    ]
    chosen = [patient for _, _, patient in sorted(turns)[:MOST_PATIENTS]]
    return {patient: _middle(manifest.patients[patient]) for patient in chosen}


def _middle(things: Sequence[Thing]) -> Sequence[Thing]:
    first = max((len(things) - SLICES) // 2, 0)
    return things[first : first + SLICES]


def _look(
    manifest: Manifest,
    checkpoint: Checkpoint,
    chosen: Mapping[str, Sequence[ManifestRow]],
    progress: Progress | None,
) -> tuple[list[_Shown], dict[str, Doubts]]:
    """Every row read once more: what the checks say of it, and the slices to disturb."""
    shown: list[_Shown] = []
    doubts: dict[str, Doubts] = defaultdict(Doubts)
    config, classes = checkpoint.metadata.preprocessing, checkpoint.metadata.classes
    for done, row in enumerate(manifest.rows, start=1):
        looked = look_at(row, manifest.file(row), config)
        doubts[row.patient_id].add(looked)
        if looked and row in chosen.get(row.patient_id, ()):
            label = classes.index(row.label)
            kept = _middle(looked.examination.kept)
            shown += [_Shown(one, row.patient_id, label) for one in kept]
        if progress:
            progress(done, len(manifest.rows))
    return shown, doubts


def _pictures(
    shown: Sequence[_Shown], checkpoint: Checkpoint, engine: TorchEngine
) -> dict[str, Any]:
    """Patient AUC on pictures as they are, and on each kind that lacks something."""
    answers: dict[Version, list[tuple[_Shown, NDArray[np.float32]]]] = {}
    for one in shown:
        versions = _versions(one.lung_slice, checkpoint)
        made = {name: picture for name, picture in versions.items() if picture is not None}
        probabilities = engine.run(np.stack(list(made.values()))).probabilities
        for name in versions:
            answers.setdefault(name, [])
        for name, row in zip(made, probabilities, strict=True):
            answers[name].append((one, row))
    measured = {name: _auc_of(found) for name, found in answers.items()}
    kinds = dict.fromkeys(kind for kind, _ in measured if kind not in ("as_it_is", "without"))
    return {
        "patients": len({one.patient_id for one in shown}),
        "slices": len(shown),
        "as_it_is": measured.get(("as_it_is", ""), "no slice was left"),
        "without": {name: auc for (kind, name), auc in measured.items() if kind == "without"},
        "of": {name: _same_slices(answers, found) for (kind, name), found in answers.items()
               if kind == "without"},
        "curves": {
            kind: {level: auc for (other, level), auc in measured.items() if other == kind}
            for kind in kinds
        },
    }  # fmt: skip


def _same_slices(answers: Mapping[Version, Answers], changed: Answers) -> dict[str, Any]:
    """Of which patients a changed picture could be made, and the whole pictures of these alone."""
    slices = {id(one) for one, _ in changed}
    whole = [answer for answer in answers["as_it_is", ""] if id(answer[0]) in slices]
    return {"patients": len({one.patient_id for one, _ in whole}), "as_it_is": _auc_of(whole)}


def _versions(
    lung_slice: LungSlice, checkpoint: Checkpoint
) -> dict[Version, NDArray[np.uint8] | None]:
    """The picture as it is, and every changed one that can be made of it."""
    config = checkpoint.metadata.preprocessing
    versions: dict[Version, NDArray[np.uint8] | None] = {("as_it_is", ""): lung_slice.picture}
    for name, picture in views_without(lung_slice, config).items():
        versions["without", name] = picture
    for kind, levels in curves(lung_slice, config).items():
        for level, picture in levels.items():
            versions[kind, level] = picture
    return versions


def _auc_of(answers: Answers) -> Measured:
    if not answers:
        return "no picture of this kind could be made: the pictures are cut to the lung"
    labels = np.array([one.label for one, _ in answers], np.int64)
    probabilities = np.stack([row for _, row in answers])
    return auc_at_hand(labels, probabilities, [one.patient_id for one, _ in answers])


def auc_at_hand(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], groups: Sequence[str]
) -> Measured:
    """Patient AUC over the labels at hand, not calibrated; in words why there is none.

    Args:
        labels: (n,) class index of each slice.
        probabilities: (n, C) of each slice, averaged by patient before they are rescaled.
        groups: n patient keys.
    """
    if len(np.unique(labels)) < 2:
        return "there is one label only"
    names = [str(number) for number in range(probabilities.shape[1])]
    patients = answer_set(labels, probabilities, groups, names).patients
    return patient_auc_of(patients.labels, patients.probabilities, patients.groups)


def _features(scored: Scored) -> dict[str, Any]:
    """What a straight line reads out of the features of all answered slices."""
    kept = is_answered(scored.probabilities)
    features = scored.features[kept]
    labels, entries = scored.labels[kept], [scored.entries[n] for n in np.flatnonzero(kept)]
    groups, sites = [entry.patient_id for entry in entries], [entry.site for entry in entries]
    codes = np.unique(sites, return_inverse=True)[1]
    return {
        "label": probe(features, labels, groups),
        "label_permuted": probe(features, permuted(labels, groups, seed=0), groups),
        "site": _site_probe(features, codes, groups),
        "leave_one_site_out": leave_one_site_out(features, labels, groups, sites)
        if len(set(sites)) > 1
        else {},
    }


def _site_probe(
    features: NDArray[np.floating], codes: NDArray[np.integer], groups: Sequence[str]
) -> Measured:
    if len(np.unique(codes)) < 2:
        return "all patients come from one site"
    # A patient scanned at two sites has no single one to be told.
    whose = defaultdict(set)
    for group, code in zip(groups, codes.tolist(), strict=True):
        whose[group].add(code)
    told = np.array([len(whose[group]) == 1 for group in groups])
    return probe(
        features[told], codes[told], [g for g, one in zip(groups, told, strict=True) if one]
    )


def _within_sites(scored: Scored) -> dict[str, Measured]:
    """Patient AUC of the checkpoint itself among the patients of each site."""
    answered = is_answered(scored.probabilities)
    sites = np.array([entry.site for entry in scored.entries])
    found: dict[str, Measured] = {}
    for site in sorted(set(sites.tolist())):
        rows = np.flatnonzero(answered & (sites == site))
        groups = [scored.groups[row] for row in rows]
        found[site] = (
            auc_at_hand(scored.labels[rows], scored.probabilities[rows], groups)
            if len(rows)
            else "no patient was answered"
        )
    return found
