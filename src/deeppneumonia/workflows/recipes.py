"""A training recipe: one TOML file that says everything a result depends on."""

import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deeppneumonia.datasets import AugmentConfig
from deeppneumonia.domain import ClassSet, spelled
from deeppneumonia.errors import ConfigError
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.training import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which pictures, and how their patients are divided."""

    manifests: tuple[str, ...]
    """CSV files, relative to the data folder given on the command line."""

    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
    """Train, validation, test: the paper's. 0 for test trains on everything that is open."""

    split_seed: int = 0
    slices_per_patient: int | None = None
    """At most this many slices of a patient in one epoch; None takes all."""

    lesion_sites: tuple[str, ...] = ()
    """Sites whose lesion masks teach a network that tells lesions, with healthy lungs beside them;
    the masks of other sites are left for a test."""

    heads_without: tuple[str, ...] = ()
    """Sites to which `fit_heads` does not fit: painted patients teach what a lesion looks like, not
    how often and how much of it people have."""

    def __post_init__(self) -> None:
        for name in ("lesion_sites", "heads_without"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a list of sites, not {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(map(spelled, getattr(self, name))))
        if not self.manifests or isinstance(self.manifests, str):
            raise ValueError(f"manifests must be a list of CSV files, not {self.manifests!r}")
        train, validation, test = self.fractions
        if min(train, validation) <= 0 or test < 0 or not math.isclose(sum(self.fractions), 1):
            raise ValueError(
                f"fractions must be shares for train, validation and test that add up to 1, the "
                f"first two above 0, not {self.fractions}"
            )
        if self.slices_per_patient is not None and self.slices_per_patient < 1:
            raise ValueError(f"slices_per_patient must be 1 or more, not {self.slices_per_patient}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that makes one network out of one data folder."""

    name: str
    model: str
    classes: ClassSet
    data: DataConfig
    preprocessing: PreprocessConfig = field(default_factory=PreprocessConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    fit_heads: bool = False
    """After training, fit every linear head to its optimum on the training slices."""


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: if the file is missing, is not TOML, or holds an unknown or impossible entry.
    """
    table = read_toml(path, "configs/ for the ones that exist")
    try:
        return recipe_from(table)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def read_toml(path: Path, others: str) -> dict[str, Any]:
    """The tables of a recipe; ConfigError, which says where `others` are, if it is none."""
    if not path.is_file():
        raise ConfigError(f"There is no recipe at {path}: see {others}.")
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not a TOML file: {error}.") from error


def recipe_from(table: dict[str, Any]) -> Recipe:
    """A recipe from the tables of its TOML file; ConfigError names what is wrong."""
    known = {entry.name for entry in fields(Recipe)}
    if unknown := set(table) - known:
        raise ConfigError(
            f"unknown entries {sorted(unknown)}; a recipe has {', '.join(sorted(known))}."
        )
    for name in ("name", "model", "classes", "data"):
        if name not in table:
            raise ConfigError(f"the entry {name!r} is missing.")
    if not isinstance(table["classes"], list):
        raise ConfigError(f"classes must be a list of labels, not {table['classes']!r}.")
    try:
        return Recipe(
            name=str(table["name"]),
            model=str(table["model"]),
            classes=ClassSet(tuple(table["classes"])),
            data=_data_config(table["data"]),
            preprocessing=PreprocessConfig.from_dict(table.get("preprocessing", {})),
            augmentation=AugmentConfig(**table.get("augmentation", {})),
            training=TrainConfig.from_dict(table.get("training", {})),
            fit_heads=_truth(table.get("fit_heads", False)),
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{error}.") from error


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"fit_heads must be true or false, not {value!r}")
    return value


def _data_config(table: dict[str, Any]) -> DataConfig:
    lists = {name: tuple(value) for name, value in table.items() if isinstance(value, list)}
    return DataConfig(**{**table, **lists})
