"""A training recipe: one TOML file that says everything a result depends on."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deeppneumonia.datasets import AugmentConfig
from deeppneumonia.domain import ClassSet
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


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: if the file is missing, is not TOML, or holds an unknown or impossible entry.
    """
    if not path.is_file():
        raise ConfigError(f"There is no recipe at {path}: see configs/ for the ones that exist.")
    try:
        with path.open("rb") as file:
            return recipe_from(tomllib.load(file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not a TOML file: {error}.") from error
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


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
    try:
        return Recipe(
            name=str(table["name"]),
            model=str(table["model"]),
            classes=ClassSet(tuple(table["classes"])),
            data=_data_config(table["data"]),
            preprocessing=PreprocessConfig.from_dict(table.get("preprocessing", {})),
            augmentation=AugmentConfig(**table.get("augmentation", {})),
            training=TrainConfig.from_dict(table.get("training", {})),
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{error}.") from error


def _data_config(table: dict[str, Any]) -> DataConfig:
    lists = {name: tuple(value) for name, value in table.items() if isinstance(value, list)}
    return DataConfig(**{**table, **lists})
