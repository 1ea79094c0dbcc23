"""The way in changes no number: C-STORE gives what Python gives."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import PhantomConfig, make_phantom, write_dicom
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.reports import to_json
from deeppneumonia.server.worker import Worker, diagnosing
from deeppneumonia.workflows.diagnose import Diagnoser


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """An untrained ResNet-18 that answers at random, but always the same."""
    torch.manual_seed(0)
    metadata = CheckpointMetadata(
        model="resnet18",
        classes=ClassSet(("covid", "bacterial", "healthy")),
        preprocessing=PreprocessConfig(picture_px=128),
    )
    save_checkpoint(tmp_path / "random.safetensors", create_model("resnet18", 3), metadata)
    return tmp_path / "random.safetensors"


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "timing_s"}


@pytest.mark.slow
def test_a_study_over_c_store_gives_the_answer_of_python(
    hospital: ModuleType, checkpoint: Path, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomConfig(label="covid", seed=7, shape=(12, 128, 128)))
    folder = write_dicom(phantom, tmp_path / "study")
    expected = without_times(to_json(Diagnoser.load(checkpoint, device="cpu").diagnose(folder)))
    node = hospital.NodeProcess(tmp_path)
    try:
        images = [pydicom.dcmread(file) for file in folder.iterdir()]
        assert set(hospital.store(node.port, images)) == {0}
        with node.services() as services:
            work = diagnosing(node.settings.but(checkpoint=str(checkpoint), device="cpu"))
            hospital.eventually(Worker(services, work).once)
            (job,), _ = services.jobs.list()
            result = services.storage.result_file(job.id, str(job.result), "result.json")
            assert result is not None
            assert without_times(json.loads(result.read_text())) == expected
    finally:
        node.kill()
