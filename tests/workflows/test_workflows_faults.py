"""A whole diagnosis where something fails: another network's classes, a full disk, a cut file."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.report import write_reading

CLASSES = ClassSet(("covid", "bacterial", "healthy"))
OTHERS = ("influenza", "no influenza")


@pytest.fixture(scope="module")
def for_other_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that tells influenza from the rest, and knows of no other disease."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("others") / "influenza.safetensors"
    metadata = CheckpointMetadata(
        model="resnet18", classes=ClassSet(OTHERS), preprocessing=PreprocessConfig(picture_px=128)
    )
    save_checkpoint(path, create_model("resnet18", 2), metadata)
    return path


def run(*arguments: str, most_bytes: int | None = None) -> "tuple[int, list[str]]":
    """Exit code of a command, and what it says to a person."""

    def fill() -> None:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    ran = subprocess.run(
        [sys.executable, "-m", "deeppneumonia", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=fill,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return ran.returncode, ran.stderr.strip().splitlines()


def test_a_network_of_other_classes_answers_in_its_own_words_alone(
    for_other_classes: Path, dicom_study: Path, tmp_path: Path
) -> None:
    diagnoser = Diagnoser.load(for_other_classes)
    reading = diagnoser.read(dicom_study)
    write_reading(reading, diagnoser.checkpoint, tmp_path)
    answer = json.loads((tmp_path / "result.json").read_text())
    assert set(answer["probabilities"]) == set(OTHERS) and answer["diagnosis"] in (*OTHERS, None)
    report = pydicom.dcmread(tmp_path / "sr.dcm").to_json()
    page = (tmp_path / "report.html").read_text()
    for told in (page, report):
        assert "nfluenza" in told
        assert "COVID" not in told and "SARS" not in told and "bacterial" not in told


def test_such_a_network_is_not_scored_on_labels_that_it_does_not_know(
    for_other_classes: Path, cohort: Path, tmp_path: Path
) -> None:
    code, lines = run(
        "evaluate", "--quiet", "-c", str(for_other_classes), "-m", str(cohort / "manifest.csv"),
        "--out", str(tmp_path / "scores"),
    )  # fmt: skip
    assert code == 3 and len(lines) == 1
    assert "covid" in lines[0] and "influenza" in lines[0] and "--map" in lines[0]


def test_such_a_network_is_not_fine_tuned_to_labels_that_it_does_not_know(
    for_other_classes: Path, cohort: Path, tmp_path: Path
) -> None:
    code, lines = run(
        "finetune", str(cohort / "manifest.csv"), "--quiet", "-c", str(for_other_classes),
        "--out", str(tmp_path / "tuned"),
    )  # fmt: skip
    assert code == 3 and len(lines) == 1 and "covid" in lines[0]


@pytest.mark.parametrize("fault", ["cut short", "a bit turned"])
def test_a_damaged_checkpoint_is_one_line_and_no_answer(
    fault: str, checkpoint: Path, dicom_study: Path, tmp_path: Path
) -> None:
    content = bytearray(checkpoint.read_bytes())
    if fault == "cut short":
        del content[len(content) // 2 :]
    else:
        content[-1000] ^= 4
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    code, lines = run(
        "diagnose", str(dicom_study), "-c", str(damaged), "--out", str(tmp_path / "out")
    )
    assert code == 3 and len(lines) == 1 and "damaged.safetensors" in lines[0]
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize("command", ["diagnose", "evaluate"])
def test_a_network_that_came_to_nothing_is_one_line_and_no_answer(
    command: str, cohort: Path, dicom_study: Path, tmp_path: Path
) -> None:
    network = create_model("resnet18", 3)
    for weights in network.parameters():
        torch.nn.init.constant_(weights, torch.nan)
    metadata = CheckpointMetadata(
        model="resnet18", classes=CLASSES, preprocessing=PreprocessConfig(picture_px=64)
    )
    save_checkpoint(tmp_path / "diverged.safetensors", network, metadata)
    about = [str(dicom_study)] if command == "diagnose" else ["-m", str(cohort / "manifest.csv")]
    code, lines = run(
        command, *about, "--quiet", "-c", str(tmp_path / "diverged.safetensors"),
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 3 and len(lines) == 1 and "diverged or its file is damaged" in lines[0]
    assert not [*(tmp_path / "out").glob("*.json")]


def test_a_class_of_which_no_picture_is_left_is_named_before_a_training(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_cohort(tmp_path / "data", per_label=3, shape=(8, 128, 128), form=Form.PNG)
    for picture in (tmp_path / "data").glob("PHANTOM-healthy-*/*.png"):
        cv2.imwrite(str(picture), np.full((128, 128), 90, np.uint8))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "r"\nmodel = "resnet18"\nclasses = ["covid", "bacterial", "healthy"]\n'
        '[data]\nmanifests = ["manifest.csv"]\n[preprocessing]\npicture_px = 64\n'
    )
    code, lines = run(
        "train", str(recipe), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"),
        "--quiet",
    )  # fmt: skip
    assert code == 1 and len(lines) == 1
    assert "No train slice of healthy is left after preprocessing" in lines[0]


def test_a_disk_that_fills_up_leaves_the_earlier_answer(
    checkpoint: Path, dicom_study: Path, tmp_path: Path
) -> None:
    earlier = run(
        "diagnose", str(dicom_study), "--quiet", "-c", str(checkpoint), "--out", str(tmp_path)
    )
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert earlier[0] == 0 and "result.json" in before
    largest = max(map(len, before.values()))
    code, lines = run(
        "diagnose", str(dicom_study), "--quiet", "-c", str(checkpoint), "--out", str(tmp_path),
        most_bytes=largest - 1,
    )  # fmt: skip
    assert code == 1 and len(lines) == 1 and "free some space" in lines[0]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
