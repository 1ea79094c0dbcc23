"""The way in changes nothing: page, REST, STOW, C-STORE, command line and Python say the same."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient

from deeppneumonia.phantoms import PhantomConfig, make_phantom, write_dicom
from deeppneumonia.reports import to_json
from deeppneumonia.server.app import create_app
from deeppneumonia.server.services import Services
from deeppneumonia.server.worker import Worker, diagnosing
from deeppneumonia.workflows.diagnose import Diagnoser


def by_python(study: Path, checkpoint: Path) -> Any:
    return to_json(Diagnoser.load(checkpoint, device="cpu").diagnose(study))


def by_command(study: Path, checkpoint: Path) -> Any:
    command = [sys.executable, "-m", "deeppneumonia", "diagnose", study, "--json", "--quiet"]
    command += ["--checkpoint", checkpoint, "--device", "cpu"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def from_page(client: TestClient, files: list[Path]) -> None:
    """One part for each file, with its path, as the page's script sends a dropped folder."""
    parts: list[Any] = [("files", (f"study/{file.name}", file.read_bytes())) for file in files]
    fields = {"label": "study", "source": "page"}
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = client.post("/api/v1/studies", data=fields, files=parts, headers=headers)
    assert answer.status_code == 202, answer.text


def over_rest(client: TestClient, files: list[Path]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files:
            archive.write(file, f"export/{file.name}")
    headers = {"Content-Type": "application/zip"}
    answer = client.post("/api/v1/studies", content=buffer.getvalue(), headers=headers)
    assert answer.status_code == 202, answer.text


def over_stow(client: TestClient, files: list[Path]) -> None:
    parts = [b"--x\r\nContent-Type: application/dicom\r\n\r\n" + f.read_bytes() for f in files]
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    body = b"\r\n".join([*parts, b"--x--\r\n"])
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def same(answer: Any) -> str:
    """All of an answer but its times; a phantom's answer holds no ids but those of the study."""
    return json.dumps({key: answer[key] for key in answer if key != "timing_s"}, sort_keys=True)


@pytest.mark.slow
def test_every_way_in_gives_the_same_answer(
    hospital: ModuleType, checkpoint: Path, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomConfig(label="covid", seed=7, shape=(12, 128, 128)))
    study = write_dicom(phantom, tmp_path / "study")
    files = sorted(study.iterdir())
    node = hospital.NodeProcess(tmp_path)
    try:
        with node.services() as services:
            client = TestClient(create_app(node.settings, services), "http://127.0.0.1:8000")
            from_page(client, files)
            over_rest(client, files)
            over_stow(client, files[::-1])
            images = [pydicom.dcmread(file) for file in files]
            assert set(hospital.store(node.port, images)) == {0}
            answers = read_all(services, checkpoint, hospital)
    finally:
        node.kill()
    answers["python"] = by_python(study, checkpoint)
    answers["command"] = by_command(study, checkpoint)
    assert answers.keys() == {"page", "rest", "stow", "dicom", "python", "command"}
    assert {way: same(answer) for way, answer in answers.items()} == dict.fromkeys(
        answers, same(answers["python"])
    )


def read_all(services: Services, checkpoint: Path, hospital: ModuleType) -> dict[str, Any]:
    """Be the worker until all four studies are read; answers by the way that they came."""
    settings = services.settings.but(checkpoint=str(checkpoint), device="cpu")
    worker = Worker(services, diagnosing(settings))
    for _ in range(4):
        hospital.eventually(worker.once)
    jobs, total = services.jobs.list()
    assert total == 4 and {job.state for job in jobs} == {"done"}
    found = {}
    for job in jobs:
        file = services.storage.result_file(job.id, str(job.result), "result.json")
        assert file is not None
        found[job.source] = json.loads(file.read_text())
    return found
