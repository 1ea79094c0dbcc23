"""Reading by a pool of Ray Serve replicas: the job store stays the truth."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.server.services import Services
from deeppneumonia.server.worker import Worker, reading
from deeppneumonia.server.worklist import State

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Path]:
    """A Ray on this machine alone, and an untrained ResNet-18 for its replicas."""
    torch.manual_seed(0)
    checkpoint = tmp_path / "random.safetensors"
    classes = ClassSet(("covid", "bacterial", "healthy"))
    metadata = CheckpointMetadata(
        model="resnet18", classes=classes, preprocessing=PreprocessConfig(picture_px=128)
    )
    save_checkpoint(checkpoint, create_model("resnet18", 3), metadata)
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield checkpoint
    ray.serve.shutdown()
    ray.shutdown()


def submit(services: Services, study: Path, id: str) -> None:
    shutil.copytree(study, services.storage.upload(id))
    services.jobs.submit(id=id, owner="local", source="test", content=id, size_bytes=1, files=1)


def test_a_replica_reads_and_the_store_has_its_answer(
    services: Services, pool: Path, tmp_path: Path
) -> None:
    write_cohort(
        tmp_path / "studies", per_label=1, first_seed=7, shape=(12, 128, 128), form=Form.DICOM
    )
    settings = replace(services.settings, on_ray=True, checkpoint=str(pool), device="cpu")
    worker = Worker(services, reading(settings))
    submit(services, tmp_path / "studies" / "PHANTOM-covid-7", "a" * 32)
    assert worker.once()
    job = services.jobs.get("a" * 32)
    assert job is not None and (job.state, job.status) == (State.DONE, "diagnosed")
    result = services.storage.result(job.id, job.result) / "result.json"
    assert json.loads(result.read_text())["status"] == "diagnosed"
