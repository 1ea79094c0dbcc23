"""Networks on the same folds: from a plan to tables, on small phantoms, and again after a kill."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from deeppneumonia.errors import ConfigError, TrainingError
from deeppneumonia.evaluation import patient_auc
from deeppneumonia.files import sha256_of
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.workflows.compare import compare
from deeppneumonia.workflows.comparison_plan import ComparisonPlan, joined_manifest, read_plan
from deeppneumonia.workflows.comparison_store import Turn
from deeppneumonia.workflows.comparison_tables import rebuild_results
from deeppneumonia.workflows.comparison_turns import Bench

RECIPE = """
name = "phantoms"
classes = ["covid", "bacterial", "healthy"]
folds = 3

[data]
manifests = ["phantoms/manifest.csv"]

[external]
manifests = ["elsewhere/manifest.csv"]
labels = { cap = "bacterial" }

[preprocessing]
picture_px = 64
slices = 3

[training]
epochs = 1
max_steps_per_epoch = 1

[networks.resnet18]

[networks.other]
model = "resnet18"
training = { seed = 1 }
"""


@pytest.fixture(scope="module")
def data(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve phantom patients, two of another hospital, and a recipe."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "phantoms").symlink_to(cohort, target_is_directory=True)
    elsewhere = folder / "elsewhere"
    manifest = write_cohort(
        elsewhere, per_label=1, first_seed=50, shape=(8, 128, 128), form=Form.PNG
    )
    text = manifest.read_text().replace(",phantom,", ",elsewhere,")
    manifest.write_text(text.replace(",bacterial,", ",cap,"))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def plan_of(data: Path, **changes: Any) -> ComparisonPlan:
    return read_plan(data / "recipe.toml", data=data, **changes)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)  # a few pictures are sooner cut than spawned for
        compare(plan_of(data), out, device="cpu", quiet=True)
    return out


def rows_of(out: Path, network: str, asked: str = "test") -> list[dict[str, str]]:
    with (out / "predictions" / f"{network}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["set"] == asked]


def test_every_patient_is_tested_once_and_in_the_same_fold_by_every_network(done: Path) -> None:
    folds = {
        name: {(row["patient_id"], row["fold"]) for row in rows_of(done, name)}
        for name in ("six-statistics", "resnet18", "other")
    }
    assert len({patient for patient, _ in folds["resnet18"]}) == len(folds["resnet18"]) == 12
    assert folds["six-statistics"] == folds["resnet18"] == folds["other"]


def test_no_patient_trains_or_validates_where_it_is_tested(data: Path, tmp_path: Path) -> None:
    plan = plan_of(data, repeats=2)
    bench = Bench(plan, joined_manifest(plan), {}, tmp_path)
    assert len(bench.turns) == 6
    parts = []
    for turn in bench.turns:
        divided = bench.divided(turn)
        found = {
            part: {row.patient_id for row in divided.rows_of(part)}
            for part in ("train", "validation", "test")
        }
        assert sum(map(len, found.values())) == len(set().union(*found.values())) == 12
        assert all(found.values())
        parts.append(frozenset(found["test"]))
    assert len(set(parts)) == 6, "another repeat deals the patients in another way"
    assert bench.divided(Turn(1, 1)).rows == bench.divided(Turn(1, 1)).rows


def test_the_numbers_follow_from_the_answers(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    assert list(results["sets"]) == ["test", "external elsewhere"]
    networks = results["sets"]["test"]["networks"]
    assert list(networks) == ["six-statistics", "resnet18", "other"]
    assert results["costs"]["resnet18"]["parameters"] == 11_178_051
    # The AUC again, by hand from the CSV and the temperatures.
    facts = json.loads((done / "comparison.json").read_text())["networks"]["resnet18"]["turns"]
    temperature = {str(turn["fold"]): turn["temperature"] for turn in facts}
    answered = [row for row in rows_of(done, "resnet18") if row["covid"]]
    classes = ("covid", "bacterial", "healthy")
    patients = sorted({row["patient_id"] for row in answered})
    assert len(patients) == 12
    calibrated, labels = [], []
    for patient in patients:
        own = [row for row in answered if row["patient_id"] == patient]
        mean = np.mean([[float(row[name]) for name in classes] for row in own], axis=0)
        power = mean ** (1 / temperature[own[0]["fold"]])
        calibrated.append(power / power.sum())
        labels.append(classes.index(own[0]["label"]))
    expected = patient_auc(np.array(labels), np.array(calibrated), patients)
    assert networks["resnet18"]["patient"]["auc"]["value"] == pytest.approx(expected)


def test_external_patients_are_asked_about_by_every_fold_and_renamed(done: Path) -> None:
    rows = rows_of(done, "other", "elsewhere")
    assert {(row["fold"], row["label"]) for row in rows} == {
        (fold, label) for fold in "123" for label in ("covid", "bacterial", "healthy")
    }
    numbers = json.loads((done / "results.json").read_text())["sets"]["external elsewhere"]
    assert numbers["answers_each"] == 3
    assert numbers["patients"] == {"covid": 1, "bacterial": 1, "healthy": 1}


def test_everything_that_was_promised_is_written_and_no_training_state_stays(done: Path) -> None:
    names = {"tables.md", "results.csv", "results.json", "comparison.json", "roc.png"}
    assert names | {"confusion.png", "predictions"} <= {path.name for path in done.iterdir()}
    kept = {path.name for path in (done / "runs" / "resnet18-r1-f1").iterdir()}
    assert "checkpoint.safetensors" in kept
    assert not kept & {"last.safetensors", "best.safetensors"}


def test_what_is_finished_is_not_done_again(done: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "turns").rglob("*.*")}
    said: list[str] = []
    compare(plan_of(data), done, device="cpu", announce=said.append, quiet=True)
    assert not said
    assert {path: path.stat().st_mtime_ns for path in (done / "turns").rglob("*.*")} == before


def test_another_external_set_is_asked_about_without_training_again(
    done: Path, data: Path, tmp_path: Path
) -> None:
    far = data / "far.csv"
    far.write_text(
        "path,patient_id,label,site\n"
        "elsewhere/PHANTOM-covid-50,p,covid,far\nelsewhere/PHANTOM-healthy-52,q,healthy,far\n"
    )
    shutil.copytree(done / "turns", tmp_path / "turns")
    shutil.copy(done / "plan.json", tmp_path)
    (tmp_path / "runs").symlink_to(done / "runs", target_is_directory=True)
    checkpoint = done / "runs" / "resnet18-r1-f1" / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    plan = plan_of(data, models=["resnet18"])
    wider = replace(plan, external=(*plan.external, far))
    results = compare(wider, tmp_path, device="cpu", quiet=True)
    assert results["sets"]["external far"]["patients"] == {"covid": 1, "healthy": 1}
    assert list(results["sets"]["external far"]["networks"]) == ["six-statistics", "resnet18"]
    assert checkpoint.stat().st_mtime_ns == before


def test_a_folder_of_other_folds_or_recipes_is_left_alone(done: Path, data: Path) -> None:
    with pytest.raises(TrainingError, match=r"other patients, classes or folds"):
        compare(plan_of(data, folds=4), done, device="cpu", quiet=True)
    plan = plan_of(data)
    first = plan.contenders[0]
    training = replace(first.recipe.training, learning_rate=0.5)
    changed = replace(first, recipe=replace(first.recipe, training=training))
    with pytest.raises(TrainingError, match="resnet18 trained by another recipe"):
        compare(replace(plan, contenders=(changed,)), done, device="cpu", quiet=True)


def test_a_turn_from_other_start_weights_is_left_alone(
    done: Path, data: Path, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_file(create_model("resnet18", 3).state_dict(), start)
    shutil.copytree(done / "turns", tmp_path / "turns")
    shutil.copy(done / "plan.json", tmp_path)
    plan = plan_of(data, models=["resnet18"])
    begun = replace(plan, contenders=(replace(plan.contenders[0], start=str(start)),))
    with pytest.raises(TrainingError, match="resnet18 trained from other start weights"):
        compare(begun, tmp_path, device="cpu", quiet=True)
    facts_of = sorted((tmp_path / "turns" / "resnet18").glob("*.json"))
    for file in facts_of:
        facts = json.loads(file.read_text())
        facts["start"] = {"file": "moved.safetensors", "sha256": sha256_of(start)}
        file.write_text(json.dumps(facts))
    compare(begun, tmp_path, device="cpu", quiet=True)  # the name does not count
    facts["start"]["sha256"] = "0" * 64
    facts_of[-1].write_text(json.dumps(facts))
    with pytest.raises(TrainingError, match="other start weights"):
        compare(begun, tmp_path, device="cpu", quiet=True)


def test_a_comparison_goes_on_after_recipes_have_learned_to_say_more(
    done: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(done / "turns", tmp_path / "turns")
    shutil.copytree(done / "predictions", tmp_path / "predictions")
    shutil.copy(done / "plan.json", tmp_path)
    (tmp_path / "runs").symlink_to(done / "runs", target_is_directory=True)
    written = sorted((tmp_path / "turns").rglob("*.json"))
    for file in written:  # as an earlier version wrote them, which did not know these
        facts = json.loads(file.read_text())
        if "recipe" in facts:
            del facts["recipe"]["data"]["heads_without"]
            del facts["recipe"]["augmentation"]["gamma"]
            del facts["recipe"]["training"]["weight_average"]
            file.write_text(json.dumps(facts))
    before = [file.read_bytes() for file in written]
    compare(plan_of(data), tmp_path, device="cpu", quiet=True)
    assert [file.read_bytes() for file in written] == before


@pytest.mark.slow
def test_a_comparison_killed_twice_ends_with_the_same_answers(
    done: Path, data: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "deeppneumonia", "compare", "--recipe", str(data / "recipe.toml"),
        "--data", str(data), "--out", str(tmp_path), "--device=cpu",
    ]  # fmt: skip
    for awaited in ("runs/resnet18-r1-f2/last.safetensors", "turns/other/r1-f1.json"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while not (tmp_path / awaited).exists() and process.poll() is None:
            assert time.monotonic() < deadline, f"{awaited} did not come"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "predictions" / "other.csv").exists()
    subprocess.run(command, check=True, capture_output=True)
    for network in ("six-statistics", "resnet18", "other"):
        for mine, theirs in zip(rows_of(tmp_path, network), rows_of(done, network), strict=True):
            for label in ("covid", "bacterial", "healthy"):
                # 1e-4: threads may add up in another order; an untrained fold differs by 0.01.
                assert float(mine.pop(label) or -1) == pytest.approx(
                    float(theirs.pop(label) or -1), abs=1e-4
                )
            assert mine == theirs


def test_the_page_of_results_is_made_from_the_stored_answers_alone(
    done: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "results" / "phantoms"
    kept.mkdir(parents=True)
    (kept / "comparison.json").write_bytes((done / "comparison.json").read_bytes())
    (kept / "predictions").symlink_to(done / "predictions", target_is_directory=True)
    page = tmp_path / "RESULTS.md"
    page.write_text(
        "# R\n\n<!-- comparison phantoms -->\nstale numbers\n<!-- end of phantoms -->\n\nmore\n"
    )
    names = rebuild_results(tmp_path / "results", page, tmp_path / "figures")
    assert names == ["phantoms"]
    text = page.read_text()
    assert "stale" not in text and text.startswith("# R\n") and text.endswith("\nmore\n")
    tables = (done / "tables.md").read_text()
    rows = [line for line in tables.splitlines() if line.startswith("| resnet18 |")]
    assert len(rows) > 4 and all(row in text for row in rows)
    assert (tmp_path / "figures" / "phantoms-roc.png").is_file()
    assert rebuild_results(tmp_path / "results", page, tmp_path / "figures") == names
    assert page.read_text() == text
    page.write_text("# R\n")
    with pytest.raises(ConfigError, match="no place for the comparison phantoms"):
        rebuild_results(tmp_path / "results", page, tmp_path / "figures")
