"""The same work over Ray; skipped by name where the extra [ray] is not installed."""

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.files import sha256_of
from deeppneumonia.reports import to_json
from deeppneumonia.workflows.archive import diagnose_archive
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.ray_cluster import joined_ray
from deeppneumonia.workflows.study_process import ModelChoice


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A Ray of two cores on this machine alone."""
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield
    ray.shutdown()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'deeppneumonia\[ray\]'"):
        joined_ray()


def test_without_a_cluster_it_says_how_to_begin_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    monkeypatch.setenv("RAY_TMPDIR", "nowhere")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="ray start --head"):
        joined_ray()


RECIPE = """
name = "small"
model = "resnet18"
classes = ["covid", "bacterial", "healthy"]
[data]
manifests = ["phantoms/manifest.csv"]
fractions = [0.5, 0.5, 0.0]
[preprocessing]
picture_px = 64
[training]
epochs = 1
batch_size = 8
max_steps_per_epoch = 2
"""


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_ray_trains_in_two_processes(cohort: Path, tmp_path: Path) -> None:
    from deeppneumonia.checkpoint import load_checkpoint
    from deeppneumonia.workflows.ray_train import train_on_ray

    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    checkpoint = train_on_ray(recipe, cohort.parent, out, 2, start=None, device="cpu")
    assert checkpoint == out / "checkpoint.safetensors"
    assert load_checkpoint(checkpoint).metadata.model == "resnet18"


def test_what_a_recipe_names_wrongly_is_told_before_ray_is_asked(
    cohort: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from deeppneumonia.workflows.ray_train import train_on_ray

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace("manifest.csv", "none.csv"))
    with pytest.raises(ManifestError, match=r"none\.csv cannot be read"):
        train_on_ray(recipe, cohort.parent, tmp_path / "run", 2, start=None, device="cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_training_on_ray_that_is_stopped_ends_as_any_other_does(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.train.torch import TorchTrainer

    from deeppneumonia.workflows.ray_train import train_on_ray

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    monkeypatch.setattr(TorchTrainer, "fit", lambda _: sys.exit(1))  # what Ray makes of a Ctrl-C
    with pytest.raises(KeyboardInterrupt):
        train_on_ray(recipe, cohort.parent, tmp_path / "run", 2, start=None, device="cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_ray_gives_every_study_once_and_the_same_answer(
    cohort: Path, checkpoint: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for seed, label in enumerate(("covid", "bacterial", "healthy")):
        (archive / f"study {seed}").symlink_to(cohort / f"PHANTOM-{label}-{seed}")
    outcome = diagnose_archive(
        archive, tmp_path / "out", ModelChoice(str(checkpoint), "cpu"),
        model_sha256=sha256_of(checkpoint), workers=2, on_ray=True,
    )  # fmt: skip
    found = [json.loads(line) for line in outcome.results.read_text().splitlines()]
    assert sorted(line.pop("study") for line in found) == ["study 0", "study 1", "study 2"]
    diagnoser = Diagnoser.load(checkpoint, device="cpu")
    expected = [to_json(diagnoser.diagnose(study)) for study in archive.iterdir()]
    for answer in (*found, *expected):
        del answer["timing_s"]
    assert sorted(found, key=json.dumps) == sorted(expected, key=json.dumps)
