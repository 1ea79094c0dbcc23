"""With de_identify, nobody is named anywhere: not on the disk, in the database, log or answer."""

import importlib.util
import io
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient
from pypdfium2 import PdfDocument

from deeppneumonia.errors import ConfigError
from deeppneumonia.readers import read_volume
from deeppneumonia.server.app import create_app
from deeppneumonia.server.dicom_node import Node
from deeppneumonia.server.dicom_settings import Destination, NodeSettings
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worker import Worker


def load() -> ModuleType:
    file = Path(__file__).parent / "dicom_node" / "hospital.py"
    specification = importlib.util.spec_from_file_location("hospital", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


hospital = load()
NAME = "Plantagenet_Alienor_4711"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.but(de_identify=True)


@pytest.fixture
def study() -> list[Any]:
    """A series with a name in every place of its headers that is likely to hold one."""
    images: list[Any] = hospital.ct_study()
    for image in images:
        image.InstitutionName = image.StudyDescription = image.ImageComments = "Plantagenet"
        image.add_new(0x00091001, "LO", "Plantagenet")
    return images


@pytest.fixture
def files(study: list[Any], tmp_path: Path) -> list[Path]:
    return sorted(hospital.write_study(tmp_path / "sent", study).iterdir())


def planted(study: list[Any]) -> list[bytes]:
    """Whatever of the patient, and of the study's ids, must not be found again."""
    image = study[0]
    words = [
        "Plantagenet", "PLANTED", hospital.PLANTED_NUMBER, "Referrer", "19500101", "20250228",
        image.StudyInstanceUID, "Aliénor",
    ]  # fmt: skip
    return [word.encode(code).lower() for word in words for code in ("utf-8", "latin-1")]


def everything(services: Services, caplog: pytest.LogCaptureFixture) -> bytes:
    """All names and bytes of the data folder, the database among them, and the log."""
    parts = [caplog.text.encode()]
    for path in services.storage.data.rglob("*"):
        parts.append(str(path).encode())
        if path.is_file():
            parts.append(path.read_bytes())
        if path.suffix == ".pdf":
            parts.extend(
                page.get_textpage().get_text_bounded().encode() for page in PdfDocument(path)
            )
    return b"\n".join(parts).lower()


def read(services: Services) -> Any:
    """Be the worker; the row of the study that was read."""
    worker = Worker(services, hospital.answer)
    hospital.eventually(worker.once)
    (job,), _ = services.jobs.list()
    assert job.status == "diagnosed", job.reason
    return job


def send_files(client: TestClient, files: list[Path]) -> Any:
    parts: list[Any] = [("files", (f"{NAME}/{file.name}", file.read_bytes())) for file in files]
    return client.post("/api/v1/studies", files=parts, data={"label": NAME, "source": "page"})


def send_zip(client: TestClient, files: list[Path]) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"{NAME}/{file.name}")
        archive.writestr(f"{NAME}.txt", "Plantagenet")
    headers = {"Content-Type": "application/zip"}
    return client.post("/api/v1/studies", content=buffer.getvalue(), headers=headers)


def send_stow(client: TestClient, files: list[Path]) -> Any:
    parts = [b"--x\r\nContent-Type: application/dicom\r\n\r\n" + f.read_bytes() for f in files]
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    body = b"\r\n".join([*parts, b"--x--\r\n"])
    return client.post("/dicom-web/studies", content=body, headers=headers)


@pytest.mark.parametrize("send", [send_files, send_zip, send_stow])
def test_the_patient_is_nowhere(
    send: Any,
    client: TestClient,
    services: Services,
    study: list[Any],
    files: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = send(client, files)
    assert answer.status_code in (200, 202), answer.text
    job = read(services)
    page = client.get(f"/studies/{job.id}", headers={"accept": "text/html"})
    told = [client.get("/").text, page.text, str(client.get("/metrics").text)]
    told += [str(client.get("/api/v1/studies").json()), str(client.get("/api/v1/audit").json())]
    found = everything(services, caplog) + "\n".join(told).encode().lower()
    assert [word for word in planted(study) if word in found] == []
    for file in services.storage.result(job.id, job.result).glob("*.dcm"):
        assert pydicom.dcmread(file).PatientName == ""
    read_again = read_volume(services.storage.study(job.id)).array
    assert (read_again == read_volume(files[0].parent).array).all()


def test_the_same_study_again_is_the_same_study(
    client: TestClient, services: Services, files: list[Path]
) -> None:
    first, second = (send_zip(client, files) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    send_stow(client, files[:3])
    send_stow(client, files[2:])
    by_stow = [job for job in services.jobs.list()[0] if job.source == "stow"]
    assert [job.files for job in by_stow] == [len(files)]


def test_what_cannot_be_rid_of_names_is_not_taken(
    client: TestClient, services: Services, study: list[Any], tmp_path: Path
) -> None:
    picture = {"files": ("Plantagenet.png", b"\x89PNG\r\n\x1a\n")}
    refused = client.post("/api/v1/studies", files=picture)
    assert refused.status_code == 400 and "DICOM CT images alone" in refused.json()["detail"]
    study[0].SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    study[0].file_meta.MediaStorageSOPClassUID = study[0].SOPClassUID
    report, image = sorted(hospital.write_study(tmp_path / "mixed", study[:2]).iterdir())
    answer = send_stow(client, [report, image])
    assert answer.status_code == 202
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0122]
    assert [job.files for job in services.jobs.list()[0]] == [1]
    assert not list((services.storage.data / "incoming").iterdir())


def test_the_key_of_the_pseudonyms_is_made_once_and_read_by_its_owner_alone(
    services: Services,
) -> None:
    assert services.storage.key() == services.storage.key() and len(services.storage.key()) == 32
    file = services.storage.data / "pseudonyms.key"
    assert file.stat().st_mode & 0o077 == 0


def test_a_node_does_not_send_answers_that_no_archive_could_file(settings: Settings) -> None:
    destination = Destination(name="pacs", host="127.0.0.1", ae_title="PACS")
    with pytest.raises(ConfigError, match="either de_identify or the destinations"):
        Node(settings, NodeSettings(port=0, destinations=(destination,)))


def test_over_c_store_the_patient_stays_outside_too(tmp_path: Path, study: list[Any]) -> None:
    node = hospital.NodeProcess(tmp_path, server="de_identify = true")
    try:
        assert set(hospital.store(node.port, study)) == {0}
        node.read_next()
        spool = node.data / "dicom-node" / "studies"
        hospital.eventually(lambda: not list(spool.rglob("*.dcm")))
        found = node.everything_it_says().encode().lower()
        found += b"".join(p.read_bytes() for p in node.data.rglob("*") if p.is_file()).lower()
    finally:
        node.kill()
    assert [word for word in planted(study) if word in found] == []


@pytest.fixture
def open_client(settings: Settings, tmp_path: Path) -> Iterator[tuple[TestClient, Services]]:
    services = Services.open(settings.but(de_identify=False, data=str(tmp_path / "open")))
    with TestClient(create_app(services.settings, services), "http://127.0.0.1") as client:
        yield client, services
    services.database.dispose()


def test_without_it_the_patient_is_in_images_and_dicom_objects_alone(
    open_client: tuple[TestClient, Services],
    study: list[Any],
    files: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And in the label, which the sender wrote: for those who may see the study."""
    client, services = open_client
    words = [word for word in planted(study) if not word.startswith(b"1.2.")]
    caplog.set_level(logging.DEBUG)
    send_stow(client, files)
    read(services)
    data = services.storage.data
    for path in data.rglob("*"):
        names = str(path.relative_to(data)).encode().lower()
        inside = path.suffix == ".dcm" or path.is_dir()
        found = names if inside else names + path.read_bytes().lower()
        assert not [word for word in words if word in found], path.name
    told = caplog.text + client.get("/metrics").text + client.get("/api/v1/audit").text
    assert not [word for word in words if word in told.encode().lower()]
