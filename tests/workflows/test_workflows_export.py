"""An engine is made of a checkpoint, judged on patients, found again, and named in the answer."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deeppneumonia.checkpoint import load_checkpoint
from deeppneumonia.cli import app
from deeppneumonia.datasets import SliceEntry
from deeppneumonia.datasets.cache import SliceStatus
from deeppneumonia.errors import ConfigError
from deeppneumonia.inference import EngineOutput
from deeppneumonia.reports import OutputError
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.export import how_far
from deeppneumonia.workflows.export_onnx import export_onnx

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def with_engine(
    checkpoint: Path, cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, object]]:
    """A copy of the checkpoint beside which an engine was written, and what was said of it."""
    own = tmp_path_factory.mktemp("own") / "own.safetensors"
    shutil.copyfile(checkpoint, own)
    words = f"export -c {own} -m {cohort / 'manifest.csv'} --precision f32 --json --quiet"
    shown = CliRunner().invoke(app, words.split())
    assert shown.exit_code == 0, shown.output
    return own, json.loads(shown.stdout)


def test_the_judgement_is_kept_beside_the_graph(
    with_engine: tuple[Path, dict[str, object]],
) -> None:
    own, said = with_engine
    facts = json.loads((own.with_suffix(".openvino") / "engine.json").read_text())
    assert facts["moved"] == said["tried"]["f32"]  # type: ignore[index]
    assert facts["moved"]["patients"] == 9  # twelve, of whom every fourth gives ranges
    assert facts["moved"]["score"] < 1e-5
    assert facts["checkpoint_sha256"] == load_checkpoint(own).sha256


def test_diagnose_takes_the_engine_by_itself_and_gives_the_same_answer(
    with_engine: tuple[Path, dict[str, object]], dicom_study: Path
) -> None:
    own, _ = with_engine
    fast, slow = (Diagnoser.load(own, device="cpu", engine=each) for each in ("auto", "torch"))
    one, other = fast.read(dicom_study), slow.read(dicom_study)
    assert one.diagnosis.quality["engine"] == "OpenVINO, f32"
    assert other.diagnosis.quality["engine"] == "torch, float32"
    assert one.diagnosis.probabilities == pytest.approx(other.diagnosis.probabilities, abs=1e-5)
    for mine, theirs in zip(one.key_slices, other.key_slices, strict=True):
        assert mine.prediction.slice_index == theirs.prediction.slice_index
        if mine.saliency is not None and theirs.saliency is not None:
            assert np.allclose(mine.saliency.heat, theirs.saliency.heat, atol=1e-3)


def test_an_engine_that_was_not_made_cannot_be_asked_for(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="deeppneumonia export"):
        Diagnoser.load(checkpoint, device="cpu", engine="openvino")
    with pytest.raises(ConfigError, match="auto, torch, openvino"):
        Diagnoser.load(checkpoint, engine="abacus")


def test_an_export_that_broke_off_is_no_engine(checkpoint: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copyfile(checkpoint, own)
    own.with_suffix(".openvino").mkdir()  # what a full disk leaves, or a kill
    assert Diagnoser.load(own, device="cpu", engine="auto")._engine.name == "torch, float32"


def test_a_folder_that_cannot_be_written_to_is_told_before_any_slice_is_cut(
    checkpoint: Path, cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    words = f"export -c {checkpoint} -m {cohort / 'manifest.csv'} -o {tmp_path / 'file' / 'engine'}"
    shown = CliRunner().invoke(app, [*words.split(), "--cache", str(tmp_path / "cache")])
    assert isinstance(shown.exception, OutputError)
    assert not (tmp_path / "cache").exists()


def test_one_label_has_no_auc_that_could_have_stayed(
    checkpoint: Path, cohort: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "one.csv"
    head, *lines = (cohort / "manifest.csv").read_text().splitlines()
    manifest.write_text("\n".join([head, *(x for x in lines if ",covid," in x)]) + "\n")
    words = f"export -c {checkpoint} -m {manifest} -o {tmp_path / 'engine'} --precision f32"
    shown = CliRunner().invoke(app, [*words.split(), "--data", str(cohort)])
    assert shown.exit_code == 0, shown.output
    assert "their AUC unknown (one label)" in shown.stdout


ENTRIES = [
    SliceEntry(
        line=number, patient_id=f"p{number}", label=label, site="", split="", slice_index=0,
        array_row=number, status=SliceStatus.KEPT, reason="",
    )
    for number, label in enumerate(["covid", "bacterial", "healthy", "covid"])
]  # fmt: skip


def said(rows: list[list[float]]) -> EngineOutput:
    return EngineOutput(
        probabilities=np.array(rows, np.float32),
        features=np.zeros((4, 1), np.float32),
        boxes=np.zeros((4, 0, 4), np.float32),
        detail_probabilities=np.zeros((4, 0, 3), np.float32),
    )


def test_how_far_answers_moved_is_counted_by_hand(checkpoint: Path) -> None:
    rows = [[0.6, 0.2, 0.2], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]
    loaded = load_checkpoint(checkpoint)
    still = how_far(said(rows), said(rows), ENTRIES, loaded)
    assert (still.score, still.auc, still.auc_torch) == (0, 0, 1) and still.is_accepted
    near = how_far(said([[0.605, 0.195, 0.2], *rows[1:]]), said(rows), ENTRIES, loaded)
    assert near.score == pytest.approx(0.005, abs=1e-6) and near.is_accepted
    assert near.score_mean == pytest.approx(0.01 / 12, abs=1e-6)
    far = how_far(said([[0.62, 0.18, 0.2], *rows[1:]]), said(rows), ENTRIES, loaded)
    assert far.score == pytest.approx(0.02, abs=1e-6) and not far.is_accepted
    assert not replace(still, auc=-0.002).is_accepted


def test_an_engine_is_judged_by_patients_as_evaluate_scores_them(checkpoint: Path) -> None:
    # Means first, then over the labels at hand: rescaled one by one, the second slice would count
    # as much as the first, though it tells next to nothing of covid and bacterial.
    rows = [[0.9, 0.1, 0.0], [0.01, 0.02, 0.97], [0.7, 0.3, 0.0], [0.7, 0.3, 0.0]]
    whose = [("a", "covid"), ("a", "covid"), ("b", "bacterial"), ("b", "bacterial")]
    entries = [
        replace(entry, patient_id=patient, label=label)
        for entry, (patient, label) in zip(ENTRIES, whose, strict=True)
    ]
    found = how_far(said(rows), said(rows), entries, load_checkpoint(checkpoint))
    assert found.auc_torch == 1


def test_a_folder_is_no_place_for_onnx(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["export", "--onnx", str(tmp_path)])
    assert isinstance(shown.exception, ConfigError) and "is a folder" in str(shown.exception)


def test_onnx_is_the_whole_network(checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "a new folder" / "network.onnx"
    words = ["export", "-c", str(checkpoint), "--onnx", str(file), "--quiet"]
    ran = subprocess.run(
        [sys.executable, "-m", "deeppneumonia", *words], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128), np.uint8)
    probabilities, features = session.run(None, {"pictures": pictures[:, None]})
    truth = Diagnoser.load(checkpoint, device="cpu", engine="torch")._engine.run(pictures)
    assert np.abs(probabilities - truth.probabilities).max() < 1e-5
    assert features.shape == truth.features.shape


def test_onnx_of_what_ships_takes_any_number_of_pictures(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "network.onnx"
    export_onnx("default", file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 224, 224), np.uint8)
    truth = Diagnoser.load(device="cpu", engine="torch")._engine.run(pictures)
    for count in (1, 3):
        probabilities, *_ = session.run(None, {"pictures": pictures[:count, None]})
        assert np.abs(probabilities - truth.probabilities[:count]).max() < 1e-4
