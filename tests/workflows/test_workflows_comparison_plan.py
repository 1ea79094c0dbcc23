"""Plans of comparisons: read from recipes and names, and refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deeppneumonia.cli import app
from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.models import list_models
from deeppneumonia.workflows.comparison_plan import (
    ComparisonPlan,
    external_manifest,
    joined_manifest,
    read_plan,
)
from deeppneumonia.workflows.comparison_store import Turn
from deeppneumonia.workflows.comparison_turns import Bench, take_turn

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "compare").glob("*.toml"))


def test_a_manifest_and_names_are_enough(cohort: Path) -> None:
    plan = read_plan(None, manifests=[cohort / "manifest.csv"], models=["vgg16", "drenet"])
    assert plan.classes.labels == ("covid", "bacterial", "healthy")
    assert plan.names == ["vgg16", "drenet"]
    assert (plan.folds, plan.repeats) == (5, 1)
    assert plan.contenders[0].recipe.training.epochs == 120, "the published training"


def shipped(path: Path, weights: Path) -> ComparisonPlan:
    """A shipped recipe, with empty files for the start weights that it names."""
    (weights / "ct_resnet50_start_bf16.safetensors").touch()
    return read_plan(path, data=Path("data"), weights=weights)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_comparison_is_like_with_like(path: Path, tmp_path: Path) -> None:
    plan = shipped(path, tmp_path)
    assert {"vgg16", "densenet121", "resnet50", "drenet", "nts-net"} <= set(plan.names)
    assert {contender.recipe.model for contender in plan.contenders} <= set(list_models())
    recipes = [contender.recipe for contender in plan.contenders]
    for part in ("data", "augmentation"):
        assert len({repr(getattr(recipe, part)) for recipe in recipes}) == 1, part
    any_size = [one for one in recipes if one.model not in ("drenet", "nts-net")]
    assert len({repr(one.preprocessing) for one in any_size}) == 1
    # VGG16 has no normalisation: it takes smaller steps. A start is to be kept: so do these.
    own = {"learning_rate": 0.1, "backbone_rate": 1.0, "frozen_stages": 0}
    assert len({repr(replace(one.training, **own)) for one in any_size}) == 1
    from_scratch = {one.recipe.model for one in plan.contenders if one.start is None}
    assert {"resnet50", "drenet"} <= from_scratch


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_comparison_runs_for_one_step(
    path: Path, cohort: Path, tmp_path: Path
) -> None:
    plan = shipped(path, tmp_path)
    (contender,) = (one for one in plan.contenders if one.name == "resnet50-scratch")
    recipe = contender.recipe
    training = replace(
        recipe.training, epochs=1, warmup_epochs=0, max_steps_per_epoch=1, batch_size=2
    )
    one_slice = replace(recipe.preprocessing, slices=1)
    short = replace(contender, recipe=replace(recipe, preprocessing=one_slice, training=training))
    plan = replace(
        plan, manifests=(cohort / "manifest.csv",), contenders=(short,), external=(), folds=3
    )
    bench = Bench(plan, joined_manifest(plan), {}, tmp_path / "out", "cpu", quiet=True)
    assert take_turn(bench, short, Turn(1, 1))
    facts = json.loads(bench.facts_of("resnet50-scratch", Turn(1, 1)).read_text())
    assert facts["gmac"] == pytest.approx(4.09 * (192 / 224) ** 2, abs=0.1), "ResNet-50"


def test_external_patients_may_be_in_no_fold(cohort: Path) -> None:
    manifest = cohort / "manifest.csv"
    plan = read_plan(None, manifests=[manifest], external=[manifest], models=["resnet18"])
    with pytest.raises(ManifestError, match=r"12 patients of .* in the folds too"):
        external_manifest(plan, manifest, joined_manifest(plan))


def test_external_patients_are_known_again_after_two_manifests_shared_their_ids(
    tmp_path: Path,
) -> None:
    """Joining makes "north/1" of patient 1; an external manifest of the north says "1"."""
    head = "path,patient_id,label,site\n"
    for folder, text in {
        "north": "a.png,1,covid,north\nb.png,2,healthy,north\n",
        "south": "a.png,1,covid,south\nb.png,2,healthy,south\n",
        "again": "a.png,1,covid,north\nb.png,3,healthy,north\n",
        "east": "a.png,1,covid,east\nb.png,2,healthy,east\n",
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
        (tmp_path / folder / "b.png").touch()
        (tmp_path / folder / "manifest.csv").write_text(head + text)
    north, south, again, east = (
        tmp_path / name / "manifest.csv" for name in ("north", "south", "again", "east")
    )
    plan = read_plan(None, manifests=[north, south], external=[again, east], models=["resnet18"])
    known = joined_manifest(plan)
    assert {row.patient_id for row in known.rows} == {"north/1", "north/2", "south/1", "south/2"}
    with pytest.raises(ManifestError, match=r"1 patients of .* in the folds too"):
        external_manifest(plan, again, known)
    assert len(external_manifest(plan, east, known).patients) == 2


def test_an_external_set_may_not_bear_the_name_of_the_tested_patients(cohort: Path) -> None:
    with pytest.raises(ConfigError, match="external set cannot be called 'test'"):
        read_plan(
            None,
            manifests=[cohort / "manifest.csv"],
            external=[Path("elsewhere/test.csv")],
            models=["resnet18"],
        )


def test_nothing_to_compare_is_refused_by_name(cohort: Path) -> None:
    for words in ({}, {"manifests": [cohort / "manifest.csv"]}, {"models": ["resnet18"]}):
        with pytest.raises(ConfigError, match="needs a manifest and a network"):
            read_plan(None, **words)


def test_two_external_sets_of_one_name_are_refused(cohort: Path) -> None:
    manifest = cohort / "manifest.csv"
    with pytest.raises(ConfigError, match="external set 'phantoms' is named twice"):
        read_plan(None, manifests=[manifest], external=[manifest] * 2, models=["resnet18"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "unknown entries colour"),
        ("[networks]\nresnet18 = 1", r"has no tables of networks"),
        ("[networks.resnet18]\nlearning_rate = 1", "unknown entries learning_rate in"),
        ("[networks.resnet18.training]\nepoks = 1", "resnet18: .*epoks"),
        ("[networks.resnet18]\nstart = 'none.pth'", "no file none.pth"),
        ("folds = 2\n[networks.resnet18]", "folds is 2, it must be 3 or more"),
        ("folds = '5'\n[networks.resnet18]", "folds is '5'"),
        ("repeats = 0\n[networks.resnet18]", "repeats is 0"),
        ("[networks.six-statistics]\nmodel = 'resnet18'", "cannot be a network's name"),
        ("[networks.'a/b']\nmodel = 'resnet18'", "cannot be a network's name"),
        ("[external]\nlabel = 1\n[networks.resnet18]", r"unknown entries label in \[external\]"),
        ("[", "not a TOML file"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_by_name(
    text: str, message: str, cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_plan(tmp_path / "c.toml", data=tmp_path, manifests=[cohort / "manifest.csv"])


def test_the_command_takes_many_names_after_models(cohort: Path, tmp_path: Path) -> None:
    words = ["compare", "--manifest", str(cohort / "manifest.csv")]
    names = ["--models", "resnet18", "vgg16", "renset50", "--folds", "3"]
    ran = CliRunner().invoke(app, [*words, *names, "--out", str(tmp_path / "out")])
    assert isinstance(ran.exception, ConfigError)
    assert "'renset50'; did you mean 'resnet50'" in str(ran.exception)
    assert not (tmp_path / "out").exists(), "all names are looked at before anything is written"
