"""Recipes: every one that ships can be read and run, and one with a mistake is refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from deeppneumonia.checkpoint import read_metadata
from deeppneumonia.errors import ConfigError
from deeppneumonia.workflows.recipes import DataConfig, read_recipe, recipe_from
from deeppneumonia.workflows.train import train_recipe

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.training.epochs >= 1 and recipe.data.manifests


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_runs_for_one_step(path: Path, cohort: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    one_step = replace(
        recipe,
        data=replace(
            recipe.data, manifests=("phantoms/manifest.csv",), fractions=(0.5, 0.25, 0.25),
            slices_per_patient=1, lesion_sites=("phantom",) if recipe.data.lesion_sites else (),
        ),
        preprocessing=replace(recipe.preprocessing, slices=1),
        training=replace(
            recipe.training, epochs=1, warmup_epochs=0, max_steps_per_epoch=1, batch_size=2
        ),
    )  # fmt: skip
    trained = train_recipe(one_step, cohort.parent, tmp_path / "run", device="cpu")
    assert read_metadata(trained.checkpoint).model == recipe.model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown entries"),
        ({"classes": ["covid"]}, "two labels or more"),
        ({"training": {"epoks": 1}}, "epoks"),
        ({"data": {"manifest": ["a.csv"]}}, "manifest"),
        ({"data": {"manifests": "a.csv"}}, "list of CSV files"),
        ({"data": {"manifests": ["a.csv"], "fractions": [0.6, 0.1, 0.5]}}, "add up to 1"),
        ({"data": {"manifests": ["a.csv"], "fractions": [0.9, 0.1]}}, "expected 3"),
        ({"data": {"manifests": ["a.csv"], "slices_per_patient": 0}}, "1 or more"),
        ({"classes": "covid"}, "list of labels"),
        ({"augmentation": {"brightness": 12.6}}, "brightness must lie between 0 and 1"),
        ({"augmentation": {"rotation_deg": "ten"}}, "rotation_deg must be a number"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_by_name(change: dict, message: str) -> None:
    table = {
        "name": "x", "model": "resnet18", "classes": ["a", "b"], "data": {"manifests": ["m.csv"]},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        recipe_from(table | change)


def test_sites_of_a_recipe_are_spelled_as_a_manifest_has_them() -> None:
    apart = ("Zu\u0308rich",)
    data = DataConfig(manifests=("m.csv",), lesion_sites=apart, heads_without=apart)
    assert data.lesion_sites == data.heads_without == ("Z\u00fcrich",)


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match=r"recipe\.toml is not a TOML file"):
        read_recipe(tmp_path / "recipe.toml")
