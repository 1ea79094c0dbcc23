"""The REST interface as a program meets it."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import Storage
from deeppneumonia.server.worker import Outcome, Worker
from deeppneumonia.server.worklist import State

ZIP = {"Content-Type": "application/zip"}
Token = Callable[[str, str], dict[str, str]]


def copies(study: Path, folder: Path) -> Outcome:
    """A small real work: says what it was given."""
    files = [study] if study.is_file() else sorted(study.iterdir())
    answer = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (folder / "result.json").write_text(json.dumps(answer))
    (folder / "report.html").write_text("<style>p{color:red}</style><p>answer</p>")
    return Outcome("diagnosed", "healthy")


def send(client: TestClient, content: bytes = b"PK a study", **headers: str) -> dict[str, object]:
    answer = client.post("/api/v1/studies", content=content, headers=ZIP | headers)
    assert answer.status_code in (200, 202), answer.text
    view: dict[str, object] = answer.json()
    return view


def test_a_study_is_accepted_read_and_its_files_are_there(
    client: TestClient, services: Services
) -> None:
    answer = client.post("/api/v1/studies", content=b"a study", headers=ZIP)
    assert answer.status_code == 202
    where = answer.headers["location"]
    assert (answer.json()["state"], answer.json()["place"]) == ("queued", 1)
    assert client.get(f"{where}/result").status_code == 409
    assert Worker(services, copies).once()
    view = client.get(where).json()
    assert (view["state"], view["diagnosis"]) == ("done", "healthy")
    assert view["outputs"] == ["report.html", "result.json"]
    digest = hashlib.sha256(b"a study").hexdigest()
    assert client.get(f"{where}/result").json() == {"study.zip": digest}
    page = client.get(f"{where}/files/report.html")
    assert "sandbox" in page.headers["content-security-policy"]
    assert client.get(f"{where}/files/..%2f..%2fserver.db").status_code == 404


def test_an_upload_lies_flushed_and_whole_under_its_id(
    client: TestClient, services: Services
) -> None:
    view = send(client)
    folder = services.storage.upload(str(view["id"]))
    assert [file.name for file in folder.iterdir()] == ["study.zip"]
    assert not list((services.storage.data / "incoming").iterdir())


def test_the_same_study_sent_twice_is_one_job(client: TestClient, services: Services) -> None:
    first = send(client)
    again = client.post("/api/v1/studies", content=b"PK a study", headers=ZIP)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert len(list((services.storage.data / "uploads").iterdir())) == 1


def test_pictures_keep_their_order_and_lose_their_names(
    client: TestClient, services: Services
) -> None:
    names = ["Mueller_10.png", "Mueller_9.png", "Mueller_1.png"]
    files = [("files", (name, name.encode())) for name in names]
    view = client.post("/api/v1/studies", files=files).json()
    folder = services.storage.upload(view["id"])
    held = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert held == {
        "000001.png": b"Mueller_1.png", "000002.png": b"Mueller_9.png",
        "000003.png": b"Mueller_10.png",
    }  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_dicom_files_are_one_study_in_whatever_order_they_come(
    client: TestClient, order: tuple[int, ...]
) -> None:
    content = [bytes(128) + b"DICM" + bytes([n]) for n in range(3)]
    first = client.post("/api/v1/studies", files=[("files", ("a", one)) for one in content])
    files = [("files", (str(n), content[n])) for n in order]
    assert client.post("/api/v1/studies", files=files).json()["id"] == first.json()["id"]


def test_cancel_requeue_and_delete(client: TestClient, services: Services) -> None:
    where = f"/api/v1/studies/{send(client)['id']}"
    assert client.post(f"{where}/requeue").status_code == 409
    assert client.post(f"{where}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{where}/requeue").json()["state"] == "queued"
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 404
    assert not list((services.storage.data / "uploads").iterdir())


def test_work_that_fails_is_told_and_tried_again(client: TestClient, services: Services) -> None:
    def fails(_study: Path, _folder: Path) -> Outcome:
        raise OSError("no space on /secret/path")

    where = f"/api/v1/studies/{send(client)['id']}"
    Worker(services, fails).once()
    view = client.get(where).json()
    assert (view["state"], view["failures"], view["crashes"]) == ("queued", 1, 0)
    assert "OSError" in view["reason"] and "secret" not in view["reason"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/zip", 400),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"no boundary in here", "multipart/form-data; boundary=abc", 400),
        (b'--a\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\nhalf',
         "multipart/form-data; boundary=a", 400),
        (b"x" * 3_000_000, "application/zip", 413),
    ],
)  # fmt: skip
def test_what_is_no_upload_is_refused_and_leaves_nothing(
    services: Services, content: bytes, kind: str, status: int
) -> None:
    from deeppneumonia.server.app import create_app

    small = services.settings.but(max_upload_bytes=1_500_000)
    client = TestClient(create_app(small), "http://127.0.0.1")
    answer = client.post("/api/v1/studies", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert len(answer.json()["detail"]) > 20
    assert not list((services.storage.data / "incoming").iterdir())


def test_the_limit_holds_for_a_body_that_does_not_say_its_length(services: Services) -> None:
    from deeppneumonia.server.app import create_app

    client = TestClient(
        create_app(services.settings.but(max_upload_bytes=2_000_000)), "http://127.0.0.1"
    )
    endless = (b"x" * 100_000 for _ in range(1000))
    answer = client.post("/api/v1/studies", content=endless, headers=ZIP)
    assert answer.status_code == 413
    assert not list((services.storage.data / "incoming").iterdir())


def test_a_full_queue_and_a_full_disk_say_so(services: Services) -> None:
    from deeppneumonia.server.app import create_app

    full = TestClient(create_app(services.settings.but(max_queued=1)), "http://127.0.0.1")
    send(full, b"one")
    answer = full.post("/api/v1/studies", content=b"two", headers=ZIP)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    disk = services.settings.but(min_free_bytes=2**60)
    answer = TestClient(create_app(disk), "http://127.0.0.1").post(
        "/api/v1/studies", content=b"three", headers=ZIP
    )
    assert answer.status_code == 507


def test_a_database_that_is_away_gives_503_and_when_to_come_back(
    client: TestClient, services: Services
) -> None:
    broken = services.storage.data / "server.db"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{broken}{suffix}").unlink(missing_ok=True)
    services.database.dispose()
    broken.mkdir()
    answer = client.get("/api/v1/studies")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client.get("/health/ready").json()["reasons"] == ["The database does not answer."]
    assert client.get("/health/live").status_code == 200


def test_a_data_folder_that_went_away_is_a_reason_and_no_failure(
    client: TestClient, services: Services
) -> None:
    shutil.rmtree(services.storage.data)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0] == "The data folder cannot be reached."


def test_the_worklist_pages_and_filters(client: TestClient, services: Services) -> None:
    for number in range(3):
        send(client, bytes([number]), **{"Content-Disposition": f'x; filename="ct {number}"'})
    services.jobs.cancel(services.jobs.list()[0][0].id)
    assert client.get("/api/v1/studies", params={"state": "queued"}).json()["total"] == 2
    found = client.get("/api/v1/studies", params={"search": "ct 1"}).json()["studies"]
    assert [one["label"] for one in found] == ["ct 1"]
    assert client.get("/api/v1/studies?limit=0").status_code == 422


def test_what_belongs_to_nobody_is_tidied_away(services: Services, client: TestClient) -> None:
    from deeppneumonia.server.supervisor import tidy

    view = send(client)
    orphan = services.storage.upload("0" * 32)
    orphan.mkdir()
    for folder in (orphan, services.storage.upload(str(view["id"]))):
        os.utime(folder, (0, 0))
    tidy(services)
    assert not orphan.exists()
    assert services.storage.upload(str(view["id"])).exists()


def test_studies_are_deleted_when_they_were_kept_long_enough(services: Services) -> None:
    from sqlalchemy import update

    from deeppneumonia.server.schema import JOBS
    from deeppneumonia.server.supervisor import tidy

    with TestClient(_app(services), "http://127.0.0.1") as client:
        old, new = send(client, b"old"), send(client, b"new")
        for view in (old, new):
            client.post(f"/api/v1/studies/{view['id']}/cancel")
        with services.database.write() as connection:
            connection.execute(update(JOBS).where(JOBS.c.id == old["id"]).values(finished=0))
        tidy(services)
        assert client.get(f"/api/v1/studies/{old['id']}").status_code == 404
        assert client.get(f"/api/v1/studies/{new['id']}").status_code == 200
    assert not services.storage.upload(str(old["id"])).exists()


def test_a_broken_result_never_takes_the_place_of_a_whole_one(tmp_path: Path) -> None:
    storage, id = Storage(tmp_path), "a" * 32
    with pytest.raises(RuntimeError), storage.new_result(id, 1) as folder:
        (folder / "result.json").write_text("half")
        raise RuntimeError
    assert storage.result_files(id, "1") == []
    with storage.new_result(id, 2) as folder:
        (folder / "result.json").write_text("whole")
    storage.remove_older_results(id, 2)
    assert [one.name for one in (tmp_path / "results" / id).iterdir()] == ["2"]


def test_metrics_count_states_and_name_nobody(client: TestClient) -> None:
    send(client, **{"Content-Disposition": 'x; filename="Erika Mustermann.zip"'})
    text = client.get("/metrics").text
    assert 'deeppneumonia_studies{state="queued"} 1.0' in text
    assert "Mustermann" not in text


def _app(services: Services) -> object:
    from deeppneumonia.server.app import create_app

    return create_app(services.settings, services)


def test_every_state_has_a_count(client: TestClient) -> None:
    text = client.get("/metrics").text
    assert all(f'state="{state}"' in text for state in State)
