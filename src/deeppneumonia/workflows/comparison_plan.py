"""What is compared on what: one TOML file per table, or a manifest and some names of networks.

The tables `data`, `preprocessing`, `augmentation` and `training` are those of a recipe and hold
for every network; `[networks.NAME]` may name the architecture (`model`, NAME unless given), start
weights (`start`), and entries that replace those of the shared tables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deeppneumonia.datasets import Manifest, join_manifests, read_manifest, read_manifests
from deeppneumonia.domain import ClassSet, Diagnosis
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.workflows.comparison_store import TESTED
from deeppneumonia.workflows.prepare import check_classes, check_spelling
from deeppneumonia.workflows.recipes import Recipe, read_toml, recipe_from

SIX_STATISTICS = "six-statistics"
"""The name of the shortcut baseline in every table."""

SHARED = ("data", "preprocessing", "augmentation", "training")
KNOWN = ("name", "classes", "folds", "repeats", "external", "networks", "fit_heads", *SHARED)
OF_NETWORK = ("model", "start", "fit_heads", "preprocessing", "augmentation", "training")
NOTHING_TO_COMPARE = (
    "A comparison needs a manifest and a network: name them with --manifest and --models, or in a "
    "recipe (--recipe)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the tables: a network, how it is trained and from what it starts."""

    name: str
    recipe: Recipe
    start: str | None = None
    """A file, `imagenet`, or None for random weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """Everything that the tables depend on, but for the pictures themselves."""

    name: str
    classes: ClassSet
    manifests: tuple[Path, ...]
    contenders: tuple[Contender, ...]
    folds: int = 5
    """3 or more: one part tests, the next validates, the others train."""

    repeats: int = 1
    """How often all patients are dealt into folds, each time in another way."""

    external: tuple[Path, ...] = ()
    """Manifests that nothing is trained on; every fold's network is asked about them."""

    external_labels: Mapping[str, str] | None = None
    """Other words for labels in those."""

    def __post_init__(self) -> None:
        if not isinstance(self.folds, int) or self.folds < 3:
            raise ConfigError(
                f"folds is {self.folds!r}, it must be 3 or more: one part of the patients tests, "
                f"one validates, the others train."
            )
        if not isinstance(self.repeats, int) or self.repeats < 1:
            raise ConfigError(f"repeats is {self.repeats!r}, it must be 1 or more.")
        if not self.manifests or not self.contenders:
            raise ConfigError(NOTHING_TO_COMPARE)
        for name in self.names:
            if name == SIX_STATISTICS or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
                raise ConfigError(
                    f"{name!r} cannot be a network's name here: use small letters, digits, dots "
                    f"and dashes, and not {SIX_STATISTICS!r}, which is always compared."
                )
        for what, names in (("network", self.names), ("external set", self.external_names)):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ConfigError(f"The {what} {twice[0]!r} is named twice: name it once.")
        if TESTED in self.external_names:  # its answers would take the place of the folds'
            raise ConfigError(
                f"An external set cannot be called {TESTED!r}, as the patients of the folds are: "
                f"rename the manifest, or its folder where it is called manifest.csv."
            )

    @property
    def names(self) -> list[str]:
        """The networks, in the order of the tables."""
        return [contender.name for contender in self.contenders]

    @property
    def external_names(self) -> list[str]:
        """A word for each external manifest: its folder where it is called manifest.csv."""
        return [
            path.resolve().parent.name if path.stem == "manifest" else path.stem
            for path in self.external
        ]


def read_plan(
    path: Path | None,
    *,
    data: Path | None = None,
    weights: Path | None = None,
    manifests: Sequence[Path] = (),
    external: Sequence[Path] = (),
    models: Sequence[str] = (),
    folds: int | None = None,
    repeats: int | None = None,
) -> ComparisonPlan:
    """The plan of a TOML file, with what is named beside it taking its place.

    Args:
        path: a comparison recipe; None for the published training with default preprocessing.
        data: folder that the recipe's manifests lie in; the current one when None.
        weights: folder that the recipe's start weights lie in; `data` when None.
        manifests: instead of the recipe's.
        external: instead of the recipe's.
        models: networks to compare; all of the recipe's when empty.
        folds: instead of the recipe's.
        repeats: instead of the recipe's.

    Raises:
        ConfigError: for a file that is none, an unknown or impossible entry, or a missing start.
        ManifestError: if the classes must come from a manifest and it cannot be read.
    """
    table = _table_of(path)
    data = data or Path()
    shared: dict[str, Any] = {"name": path.stem if path else "comparison", **table}
    named = [data / name for name in shared.get("data", {}).get("manifests", ())]
    chosen = tuple(manifests) or tuple(named)
    others = shared.pop("external", {})
    if not chosen or not (models or shared.get("networks")):
        raise ConfigError(NOTHING_TO_COMPARE)
    if "classes" not in shared:
        shared["classes"] = _labels_of(chosen)
    # For the record; the folder that they lie in is no part of a result.
    words = [f"{path.resolve().parent.name}/{path.name}" for path in chosen]
    shared["data"] = {**shared.get("data", {}), "manifests": words}
    networks = shared.pop("networks", {})
    plan: dict[str, Any] = {
        name: shared.pop(name) for name in ("folds", "repeats") if name in shared
    }
    plan |= {name: n for name, n in (("folds", folds), ("repeats", repeats)) if n is not None}
    contenders = tuple(
        _contender(name, networks.get(name, {}), shared, weights or data)
        for name in models or networks
    )
    return ComparisonPlan(
        name=str(shared["name"]),
        classes=ClassSet(tuple(shared["classes"])),
        manifests=chosen,
        contenders=contenders,
        external=tuple(external) or tuple(data / name for name in others.get("manifests", ())),
        external_labels=others.get("labels"),
        **plan,
    )


def joined_manifest(plan: ComparisonPlan) -> Manifest:
    """The rows of the plan's classes, from all its manifests, without a split.

    Raises:
        ManifestError: if a manifest cannot be trusted, or labels do not fit the classes.
    """
    joined = join_manifests(read_manifests(plan.manifests))
    check_classes(plan.classes.labels, {row.label for row in joined.rows})
    return joined.with_rows(
        replace(row, split="") for row in joined.rows if row.label in plan.classes.labels
    )


def external_manifest(plan: ComparisonPlan, path: Path, known: Manifest) -> Manifest:
    """The rows of the plan's classes from an external manifest.

    Args:
        plan: what is compared.
        path: one of `plan.external`.
        known: the patients that networks are trained on.

    Raises:
        ManifestError: if it holds nothing to ask about, one of those patients, or a label that is
            a class but for capital letters.
    """
    found = join_manifests([read_manifest(path, label_map=plan.external_labels)])
    check_spelling(plan.classes.labels, {row.label for row in found.rows})
    kept = found.with_rows(row for row in found.rows if row.label in plan.classes.labels)
    if not kept.rows:
        raise ManifestError(
            f"{path} holds none of the labels {', '.join(plan.classes.labels)}: rename its labels "
            f"in the recipe ([external] labels), or leave it out."
        )
    if shared := _people(kept) & _people(known):
        verb = "stands" if len(shared) == 1 else "stand"
        raise ManifestError(
            f"{counted(len(shared), 'patient')} of {path} {verb} in the folds too, and external "
            f"patients must be in no training: leave one of the two manifests out."
        )
    return kept


def _people(manifest: Manifest) -> set[tuple[str, str]]:
    """Site and id of everybody; also the id from before joining put the site in front of it."""
    found = set()
    for patient, rows in manifest.patients.items():
        home = min(row.site for row in rows)
        own = patient.removeprefix(f"{home}/")
        found |= {(row.site, name) for row in rows for name in (patient, own)}
    return found


def _table_of(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    table = read_toml(path, "configs/compare for those there are")
    _refuse_unknown(table, KNOWN, "a comparison")
    _refuse_unknown(table.get("external", {}), ("manifests", "labels"), "[external]")
    networks = table.get("networks")
    if not isinstance(networks, dict) or not all(isinstance(t, dict) for t in networks.values()):
        raise ConfigError(
            f"{path.name} has no tables of networks: add one such as [networks.resnet50]."
        )
    return table


def _contender(
    name: str, own: Mapping[str, Any], shared: Mapping[str, Any], weights: Path
) -> Contender:
    """One network with the shared tables, changed where its own say so."""
    _refuse_unknown(own, OF_NETWORK, f"[networks.{name}]")
    merged: dict[str, Any] = {**shared, "name": name, "model": own.get("model", name)}
    for part in SHARED:
        merged[part] = {**shared.get(part, {}), **own.get(part, {})}
    merged["fit_heads"] = own.get("fit_heads", shared.get("fit_heads", False))
    try:
        recipe = recipe_from(merged)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    start = own.get("start")
    if start is None or start == "imagenet":
        return Contender(name=name, recipe=recipe, start=start)
    if not (weights / start).is_file():
        raise ConfigError(
            f"There is no file {start} in {weights}, from which {name} is to start: name the "
            f"folder that it lies in with --weights."
        )
    return Contender(name=name, recipe=recipe, start=str(weights / start))


def _labels_of(manifests: Sequence[Path]) -> list[str]:
    """The labels at hand: the house's in their order, then other words."""
    found = {row.label for manifest in read_manifests(manifests) for row in manifest.rows}
    if len(found) < 2:
        raise ManifestError(
            f"The manifests have no other label than {', '.join(found)}, networks are compared on "
            f"two or more: name the manifests of other patients too."
        )
    known = [str(label) for label in Diagnosis if label in found]
    return [*known, *sorted(found - set(known))]


def _refuse_unknown(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ConfigError(
            f"unknown entries {', '.join(unknown)} in {where}; it has {', '.join(known)}."
        )
