"""From a recipe to a checkpoint to its scores, on small phantoms."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deeppneumonia.checkpoint import load_checkpoint, read_metadata
from deeppneumonia.datasets import build_cache, read_manifest, write_manifest
from deeppneumonia.domain import Diagnosis
from deeppneumonia.errors import ConfigError, ManifestError, TrainingError, WeightsError
from deeppneumonia.evaluation import patient_auc
from deeppneumonia.inference import TorchEngine
from deeppneumonia.workflows import train
from deeppneumonia.workflows.evaluate import evaluate_manifests
from deeppneumonia.workflows.prepare import read_divided, split_manifest
from deeppneumonia.workflows.recipes import DataConfig, Recipe, recipe_from
from deeppneumonia.workflows.train import train_recipe


def small(**training: object) -> Recipe:
    return recipe_from(
        {
            "name": "small",
            "model": "resnet18",
            "classes": ["covid", "bacterial", "healthy"],
            "data": {
                "manifests": ["phantoms/manifest.csv"],
                "fractions": [0.5, 0.25, 0.25],
                "slices_per_patient": 2,
            },
            "preprocessing": {"picture_px": 64},
            "training": {"epochs": 1, "max_steps_per_epoch": 1, **training},
        }
    )


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    train_recipe(small(), cohort.parent, out, device="cpu")
    return out


def test_a_run_leaves_everything_that_a_result_depends_on(run: Path) -> None:
    names = {file.name for file in run.iterdir()}
    expected = {"checkpoint.safetensors", "history.csv", "learning_curve.png", "split.csv"}
    assert expected <= names
    metadata = read_metadata(run / "checkpoint.safetensors")
    assert metadata.provenance["recipe"]["name"] == "small"
    assert metadata.provenance["patients"]["train"] == {"bacterial": 2, "covid": 2, "healthy": 2}
    assert metadata.temperature > 0
    ninety, ninety_five = metadata.thresholds.operating_points
    assert (ninety.target, ninety_five.target) == (0.9, 0.95)
    assert ninety.sensitivity >= 0.9 and ninety_five.sensitivity >= 0.95
    assert ninety_five.threshold <= ninety.threshold


def test_there_is_no_checkpoint_before_it_is_calibrated(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("deeppneumonia.workflows.train.calibrated", stopped)
        train_recipe(small(), cohort.parent, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    train_recipe(small(), cohort.parent, tmp_path / "run", device="cpu")
    assert read_metadata(tmp_path / "run" / "checkpoint.safetensors").temperature > 0
    assert not (tmp_path / "run" / "uncalibrated.safetensors").exists()


def test_painted_patients_teach_but_do_not_count_as_people(
    cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    shutil.copytree(cohort, data / "phantoms")
    manifest = data / "phantoms" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",phantom,", ",hospital,"))
    painted = data / "painted"
    shutil.copytree(cohort / "PHANTOM-covid-0", painted / "copy")
    (painted / "manifest.csv").write_text(
        "path,patient_id,label,site,split\ncopy,painted-1,covid,painted,train\n"
    )
    wanted = replace(small(), fit_heads=True)
    wanted = replace(
        wanted,
        data=replace(
            wanted.data,
            manifests=("phantoms/manifest.csv", "painted/manifest.csv"),
            heads_without=("painted",),
        ),
    )
    bare = replace(wanted, data=replace(wanted.data, heads_without=("painted", "hospital")))
    with pytest.raises(ManifestError, match=r"painted, hospital, and no other .* is bacterial"):
        train_recipe(bare, data, tmp_path / "bare", device="cpu")
    assert not (tmp_path / "bare").exists()
    with caplog.at_level("INFO", logger="deeppneumonia.training.heads"):
        train_recipe(wanted, data, tmp_path / "run", device="cpu")
    rows = read_manifest(tmp_path / "run" / "split.csv", folder=data).rows_of("train")
    assert {row.site for row in rows} == {"hospital", "painted"}
    kept = build_cache(
        read_manifest(tmp_path / "run" / "split.csv", folder=data),
        wanted.preprocessing,
        tmp_path / "cache",
        workers=1,
    ).entries_of("train")
    real = [entry for entry in kept if entry.site == "hospital"]
    assert len(real) < len(kept)
    assert f"fitted on {len(real)} slices" in caplog.text
    metadata = read_metadata(tmp_path / "run" / "checkpoint.safetensors")
    assert metadata.provenance["patients"]["train"] == {"bacterial": 2, "covid": 2, "healthy": 2}
    assert metadata.provenance["made"] == {"painted": 1}
    assert metadata.ood is not None and metadata.ood["patients"]["fitted"] == 6


def test_the_validation_auc_of_a_checkpoint_is_that_of_its_fitted_heads(
    cohort: Path, tmp_path: Path
) -> None:
    recipe = replace(small(), fit_heads=True)
    trained = train_recipe(recipe, cohort.parent, tmp_path / "run", device="cpu")
    checkpoint = load_checkpoint(trained.checkpoint)
    divided = read_manifest(tmp_path / "run" / "split.csv", folder=cohort.parent)
    cache = build_cache(divided, recipe.preprocessing, tmp_path / "cache", workers=1)
    entries = cache.entries_of("validation")
    answers = TorchEngine(checkpoint, device="cpu").run(cache.pictures_of(entries))
    its_own = patient_auc(
        np.array([recipe.classes.index(entry.label) for entry in entries]),
        answers.probabilities,
        [entry.patient_id for entry in entries],
    )
    assert trained.best_auc == its_own
    assert checkpoint.metadata.metrics["training"]["validation_patient_auc"] == its_own
    with (tmp_path / "run" / "history.csv").open() as file:  # of the epoch, before the heads
        assert float(next(csv.DictReader(file))["validation_auc"]) != its_own


def test_a_checkpoint_names_the_commit_that_its_training_began_with(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, fit = ["first"], train.Trainer.fit
    git = SimpleNamespace(
        run=lambda *_, **__: SimpleNamespace(stdout=commits[-1]), SubprocessError=OSError
    )
    monkeypatch.setattr(train, "subprocess", git)
    monkeypatch.setattr(train.Trainer, "fit", lambda *all: commits.append("next") or fit(*all))
    train.commit.cache_clear()
    trained = train_recipe(small(), cohort.parent, tmp_path / "run", device="cpu")
    train.commit.cache_clear()
    assert read_metadata(trained.checkpoint).provenance["commit"] == "first"


def test_a_run_is_not_continued_with_another_recipe(run: Path, cohort: Path) -> None:
    before = (run / "split.csv").read_bytes()
    other = small(epochs=2)
    other = replace(other, data=replace(other.data, split_seed=1))
    with pytest.raises(TrainingError, match="another recipe"):
        train_recipe(other, cohort.parent, run, device="cpu")
    assert (run / "split.csv").read_bytes() == before


def test_refused_start_weights_leave_nothing_behind(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file of start weights"):
        train_recipe(small(), cohort.parent, tmp_path / "run", start="none.pth", device="cpu")
    assert not list(tmp_path.iterdir())


def test_evaluation_scores_the_split_beside_six_statistics(
    run: Path, cohort: Path, tmp_path: Path
) -> None:
    metrics = evaluate_manifests(
        run / "checkpoint.safetensors",
        [run / "split.csv"],
        tmp_path,
        data=cohort.parent,
        split="train",
    )
    assert metrics["counts"]["patient"] == {"covid": 2, "bacterial": 2, "healthy": 2}
    assert {"value", "low", "high"} == set(metrics["patient"]["auc"])
    assert "six_statistics" in metrics["baselines"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["patient_id", "label", "covid", "bacterial", "healthy"]
    assert len(rows) == 6
    assert (tmp_path / "roc_patient.png").is_file()


def test_a_patient_without_lungs_stays_in_the_tables_with_blank_cells(
    run: Path, cohort: Path, tmp_path: Path
) -> None:
    import cv2

    folder = tmp_path / "data"
    (folder / "empty").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / "empty" / f"{number}.png"), np.zeros((128, 128), np.uint8))
    for name in ("PHANTOM-covid-0", "PHANTOM-bacterial-1"):
        (folder / name).symlink_to(cohort / name, target_is_directory=True)
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "path,patient_id,label\nempty,nobody,covid\n"
        "PHANTOM-covid-0,a,covid\nPHANTOM-bacterial-1,b,bacterial\n"
    )
    metrics = evaluate_manifests(run / "checkpoint.safetensors", [manifest], tmp_path / "out")
    coverage = metrics["coverage"]["patient"]
    assert (coverage["answered"], coverage["total"]) == (2, 3)
    assert metrics["renormalised"] is True and metrics["classes"] == ["covid", "bacterial"]
    text = (tmp_path / "out" / "predictions.csv").read_text()
    assert "nobody,covid,,\n" in text


def test_labels_that_the_checkpoint_does_not_know_are_named(
    run: Path, cohort: Path, tmp_path: Path
) -> None:
    manifest = cohort / "renamed.csv"
    manifest.write_text((cohort / "manifest.csv").read_text().replace(",bacterial,", ",cap,"))
    with pytest.raises(ManifestError, match=r"labels cap, .*--map cap=LABEL and"):
        evaluate_manifests(run / "checkpoint.safetensors", [manifest], tmp_path)
    manifest.write_text((cohort / "manifest.csv").read_text().replace(",covid,", ",COVID,"))
    with pytest.raises(ManifestError, match=r"labels COVID, .*--map COVID=covid and"):
        evaluate_manifests(run / "checkpoint.safetensors", [manifest], tmp_path)


@pytest.fixture
def twenty_patients(tmp_path: Path) -> Path:
    """A manifest of ten covid and ten healthy patients with two pictures each."""
    lines = ["path,patient_id,label"]
    for number in range(40):
        name = f"{number}.png"
        (tmp_path / name).write_bytes(b"")
        lines.append(f"{name},p{number // 2},{'covid' if number % 4 < 2 else 'healthy'}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "manifest.csv"


def test_a_split_is_by_patient_60_10_30(twenty_patients: Path, tmp_path: Path) -> None:
    counts = split_manifest(twenty_patients, tmp_path / "split.csv", seed=0)
    assert counts == {
        "train": {"covid": 6, "healthy": 6},
        "validation": {"covid": 1, "healthy": 1},
        "test": {"covid": 3, "healthy": 3},
    }


def test_other_fractions_divide_as_a_recipe_with_them_does(
    twenty_patients: Path, tmp_path: Path
) -> None:
    fractions = (0.9, 0.1, 0.0)
    counts = split_manifest(twenty_patients, tmp_path / "split.csv", seed=3, fractions=fractions)
    assert counts == {
        "train": {"covid": 9, "healthy": 9},
        "validation": {"covid": 1, "healthy": 1},
    }
    data = DataConfig(manifests=("manifest.csv",), fractions=fractions, split_seed=3)
    recipe = read_divided(data, tmp_path, ("covid", "healthy"))
    written = read_manifest(tmp_path / "split.csv")
    assert [row.split for row in written.rows] == [row.split for row in recipe.rows]


def test_one_blank_split_does_not_deal_the_others_anew(
    twenty_patients: Path, tmp_path: Path
) -> None:
    split_manifest(twenty_patients, tmp_path / "split.csv", seed=0)
    divided = read_manifest(tmp_path / "split.csv")
    rows = (replace(row, split=row.split * (row.patient_id != "p2")) for row in divided.rows)
    write_manifest(divided.with_rows(rows), tmp_path / "split.csv")
    with pytest.raises(ManifestError, match=r"Line 6 of the manifest split\.csv has no split"):
        read_divided(DataConfig(manifests=("split.csv",)), tmp_path, ("covid", "healthy"))


def test_a_label_that_is_a_class_but_for_capitals_is_not_left_out(twenty_patients: Path) -> None:
    text = twenty_patients.read_text()
    twenty_patients.write_text(text.replace(",p3,healthy", ",p3,Healthy"))
    with pytest.raises(ManifestError, match="label 'Healthy', and 'healthy' is a class"):
        read_divided(
            DataConfig(manifests=("manifest.csv",)), twenty_patients.parent, ("covid", "healthy")
        )


def test_classes_without_a_row_are_refused_with_the_labels_at_hand(twenty_patients: Path) -> None:
    with pytest.raises(ManifestError, match=r"no bacterial, .* but covid, healthy: name other"):
        read_divided(
            DataConfig(manifests=("manifest.csv",)), twenty_patients.parent, tuple(Diagnosis)
        )


def test_fractions_that_are_no_shares_are_refused(twenty_patients: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"together they must make 1: try 0\.6 0\.1 0\.3"):
        split_manifest(twenty_patients, tmp_path / "split.csv", seed=0, fractions=(0.6, 0.1, 0.1))
