"""Reading by a pool of Ray Serve replicas: the job store stays the truth."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deeppneumonia.server.services import Services
from deeppneumonia.server.worker import Worker, reading
from deeppneumonia.server.worklist import State

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def pool(checkpoint: Path) -> Iterator[Path]:
    """A Ray on this machine alone, and the checkpoint for its replicas."""
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield checkpoint
    ray.serve.shutdown()
    ray.shutdown()


def submit(services: Services, study: Path, id: str) -> None:
    shutil.copytree(study, services.storage.upload(id))
    services.jobs.submit(id=id, owner="local", source="test", content=id, size_bytes=1, files=1)


def test_a_replica_reads_and_the_store_has_its_answer(
    services: Services, pool: Path, dicom_study: Path
) -> None:
    settings = replace(services.settings, on_ray=True, checkpoint=str(pool), device="cpu")
    worker = Worker(services, reading(settings))
    submit(services, dicom_study, "a" * 32)
    assert worker.once()
    job = services.jobs.get("a" * 32)
    assert job is not None and (job.state, job.status) == (State.DONE, "diagnosed")
    result = services.storage.result(job.id, job.result) / "result.json"
    assert json.loads(result.read_text())["status"] == "diagnosed"
