"""A study that grows, is read again or is deleted: what becomes of its answer, words and images."""

import contextlib
import csv
import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, update

from deeppneumonia.server.database import Database
from deeppneumonia.server.feedback import Feedback, FeedbackStore
from deeppneumonia.server.intake import gather
from deeppneumonia.server.jobs import Claim, JobStore
from deeppneumonia.server.removal import remove, remove_unknown
from deeppneumonia.server.schema import FEEDBACK, JOBS
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import HOUR_S, Piece, Storage
from deeppneumonia.server.supervisor import tidy
from deeppneumonia.server.worker import Outcome, Worker
from deeppneumonia.server.worklist import Job, State


@pytest.fixture(params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    settings = Settings(
        data=str(tmp_path / "data"), min_free_bytes=0, backoff_s=0, quiet_s=0, retention_days=30
    )
    if request.param == "postgresql":
        settings = settings.but(database=request.getfixturevalue("postgres"))
    opened = Services.open(settings)
    yield opened
    opened.database.dispose()


def arrives(services: Services, *contents: bytes) -> Job:
    """Images of one study come by DICOMweb, and are acknowledged when this returns."""
    folder = services.storage.incoming()
    pieces = []
    for content in contents:
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / sha256).write_bytes(content)
        pieces.append(Piece(path=folder / sha256, name="", sha256=sha256, size_bytes=len(content)))
    return gather(services, pieces, owner="local", source="stow", study_uid="1.2.3")


def claimed(services: Services) -> Claim:
    claim = services.jobs.claim("w")
    assert claim is not None
    return claim


def answers(services: Services, diagnosis: str = "covid") -> Job:
    """A worker answers the study whose turn it is."""
    claim = claimed(services)
    with services.storage.new_result(claim.id, claim.fence) as folder:
        (folder / "result.json").write_text("{}")
    assert services.jobs.finish(
        claim, status="diagnosed", diagnosis=diagnosis, result=str(claim.fence)
    )
    return stands(services, claim.id)


def stands(services: Services, id: str) -> Job:
    job = services.jobs.get(id)
    assert job is not None
    return job


def images(services: Services, id: str) -> set[bytes]:
    return {file.read_bytes() for file in services.storage.upload(id).iterdir()}


def grow_old(services: Services) -> None:
    """Let a month go by: all that is finished has been for longer than it is kept."""
    with services.database.write() as connection:
        connection.execute(update(JOBS).values(finished=JOBS.c.finished - 31 * 86_400.0))


def says(services: Services, job: Job, comment: str, reader: str = "anna") -> bool:
    said = Feedback(reader=reader, agrees=True, label=job.diagnosis, comment=comment)
    return FeedbackStore(services.database).add(job, said)


def test_images_that_come_by_several_ways_at_once_are_all_counted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = JobStore.submit
    first = threading.Barrier(3)

    def together(jobs: JobStore, **values: Any) -> tuple[Job, bool]:
        with contextlib.suppress(threading.BrokenBarrierError):
            first.wait(5)  # all have counted before anybody's count is kept
        return submit(jobs, **values)

    monkeypatch.setattr(JobStore, "submit", together)
    ways = [
        threading.Thread(target=arrives, args=(services, *(b"%d" % n for n in range(so_many))))
        for so_many in (1, 5, 9)
    ]
    for way in ways:
        way.start()
        time.sleep(0.2)  # so that they count differently
    for way in ways:
        way.join()
    ((job,), _) = services.jobs.list()
    assert job.files == len(images(services, job.id)) == 9
    fence = job.fence
    arrives(services, b"1")
    assert stands(services, job.id).fence == fence  # it has that one, and is not read again


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_no_old_answer_is_given_for_a_study_whose_newer_images_were_not_read(
    end: str, client: TestClient, services: Services
) -> None:
    arrives(services, b"one")
    id = answers(services).id
    arrives(services, b"two")
    assert "Images came after the answer" in str(stands(services, id).reason)
    if end == "cancelled":
        client.post(f"/api/v1/studies/{id}/cancel")
    for _ in range(services.settings.max_failures if end == "dead" else 0):
        services.jobs.fail(claimed(services), "The study could not be worked on: OSError")
    view = client.get(f"/api/v1/studies/{id}").json()
    assert (view["state"], view["status"], view["diagnosis"]) == (end, None, None)
    assert view["outputs"] == []
    for path in ("result", "files/result.json"):
        assert client.get(f"/api/v1/studies/{id}/{path}").status_code == 409
    page = client.get(f"/studies/{id}", headers={"accept": "text/html"}).text
    assert view["reason"] in page and "Read it again" in page


def test_a_dead_study_that_grows_has_all_its_tries_again(services: Services) -> None:
    arrives(services, b"one")
    for _ in range(services.settings.max_failures):
        services.jobs.fail(claimed(services), "no")
    id = arrives(services, b"two").id
    job = stands(services, id)
    assert (job.state, job.failures, job.crashes, job.reason) == (State.QUEUED, 0, 0, None)


def test_images_that_come_while_old_studies_are_tidied_away_are_kept(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrives(services, b"one")
    id = answers(services).id
    grow_old(services)
    listed = services.jobs.finished_before

    def and_then_one_comes(age_s: float) -> object:
        ids = listed(age_s)
        arrives(services, b"late")
        return ids

    monkeypatch.setattr(services.jobs, "finished_before", and_then_one_comes)
    tidy(services)
    assert stands(services, id).state is State.QUEUED
    assert images(services, id) == {b"one", b"late"}


@pytest.mark.parametrize("moment", ["submit", "extend"])
def test_a_study_deleted_while_images_come_begins_anew_with_them(
    moment: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images lie in its folder already, which is then taken away before their row is there."""
    arrives(services, b"one")
    id = answers(services).id
    grow_old(services)
    original = getattr(services.jobs, moment)

    def deleted_first(*args: object, **values: object) -> object:
        monkeypatch.setattr(services.jobs, moment, original)
        assert remove(services, id, finished_for_s=30 * 86_400)
        return original(*args, **values)

    monkeypatch.setattr(services.jobs, moment, deleted_first)
    arrives(services, b"late")
    job = stands(services, id)
    assert (job.state, job.files, job.bytes) == (State.QUEUED, 1, 4)
    assert images(services, id) == {b"late"}


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/api/v1/studies/{}/result", "result.json"),
        ("/api/v1/studies/{}/files/result.json", "result.json"),
        ("/studies/{}", "page.json"),
        ("/studies/{}/slices/0.png", "page.json"),
        ("/studies/{}/slices/0.png", "volume.nii.gz"),
    ],
)
def test_an_answer_that_is_deleted_while_it_is_opened_is_gone_and_no_fault(
    path: str, file: str, client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrives(services, b"one")
    job = answers(services)
    folder = services.storage.result(job.id, str(job.result))
    (folder / "page.json").write_text('{"picture": {"slices": 1, "offsets": [0, 9]}}')
    (folder / "volume.nii.gz").touch()
    look_up = Storage.result_file

    def and_then_it_is_deleted(storage: Storage, id: str, name: str, one: str) -> Path | None:
        found = look_up(storage, id, name, one)
        if one == file:
            remove(services, id)
        return found

    monkeypatch.setattr(Storage, "result_file", and_then_it_is_deleted)
    program = client.get(path.format(job.id))
    assert (program.status_code, "deleted meanwhile" in program.json()["detail"]) == (404, True)
    assert client.get(path.format(job.id)).json()["detail"] == "There is no such study."


def test_lists_leave_out_what_is_deleted_while_they_are_made(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrives(services, b"one")
    job = answers(services)
    says(services, job, "typical")
    look_into = Path.iterdir

    gone = iter(("results", "uploads"))

    def deleted_first(folder: Path) -> Iterator[Path]:
        monkeypatch.setattr(Path, "iterdir", look_into)
        kind = next(gone)
        (services.storage.data / kind / job.id).rename(services.storage.data / "incoming" / kind)
        return folder.iterdir()

    for path in ("/api/v1/studies", "/feedback.csv"):
        monkeypatch.setattr(Path, "iterdir", deleted_first)
        assert client.get(path).status_code == 200
    assert list(gone) == []


def test_a_study_that_is_deleted_as_soon_as_it_is_there_begins_anew(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Database.write

    @contextlib.contextmanager
    def deleted_next(database: Database) -> Iterator[Connection]:
        with write(database) as connection:
            yield connection
        monkeypatch.setattr(Database, "write", write)
        ((job,), _) = services.jobs.list()
        remove(services, job.id)

    monkeypatch.setattr(Database, "write", deleted_next)
    job = arrives(services, b"one")
    assert stands(services, job.id).state is State.QUEUED and images(services, job.id) == {b"one"}


def test_what_cannot_be_deleted_stays_whole(services: Services) -> None:
    arrives(services, b"one")
    job = answers(services)
    says(services, job, "clear")
    with pytest.raises(OSError, match="full"), services.storage.removing(job.id) as move_away:

        def fails() -> None:
            move_away()
            assert not services.storage.upload(job.id).exists()
            raise OSError("the disk is full")

        services.jobs.delete(job.id, then=fails)
    assert stands(services, job.id) == job
    assert images(services, job.id) == {b"one"}
    assert services.storage.result_files(job.id, str(job.result)) == ["result.json"]
    assert len(FeedbackStore(services.database).of_study(job.id)) == 1


def test_folders_without_a_row_are_tidied_away_and_those_with_one_are_not(
    services: Services,
) -> None:
    orphan = services.storage.upload("0" * 32)
    orphan.mkdir()
    old = time.time() - 2 * HOUR_S
    os.utime(orphan, (old, old))
    id = arrives(services, b"one").id
    tidy(services)
    remove_unknown(services, id)
    assert not orphan.exists() and images(services, id) == {b"one"}
    assert not any(f.is_dir() and not any(f.iterdir()) for f in orphan.parent.iterdir())


@pytest.mark.parametrize("left", [0, 1])
def test_a_row_that_was_restored_without_its_images_says_so_and_is_read_once_they_are_back(
    left: int, client: TestClient, services: Services
) -> None:
    id = arrives(services, b"one", b"two").id
    upload, backup = services.storage.upload(id), services.storage.data / "backup"
    shutil.copytree(upload, backup)
    for file in sorted(upload.iterdir())[left:]:
        file.unlink()
    if not left:
        upload.rmdir()
    read: list[set[str]] = []

    def work(study: Path, folder: Path) -> Outcome:
        read.append({file.name for file in study.iterdir()})
        (folder / "result.json").write_text("{}")
        return Outcome("refused")

    worker = Worker(services, work)
    while worker.once():
        pass
    said = client.get(f"/api/v1/studies/{id}").json()
    assert said["state"] == "dead" and not read
    assert f"holds {left} of its 2 files: put what is missing back" in said["reason"]
    shutil.copytree(backup, upload, dirs_exist_ok=True)
    assert client.post(f"/api/v1/studies/{id}/requeue").status_code == 200
    assert worker.once() and stands(services, id).state is State.DONE
    assert read == [{file.name for file in backup.iterdir()}]


def test_a_row_that_was_restored_without_its_answer_says_so(
    client: TestClient, services: Services
) -> None:
    arrives(services, b"one")
    job = answers(services)
    shutil.rmtree(services.storage.result(job.id, str(job.result)))
    page = client.get(f"/studies/{job.id}", headers={"accept": "text/html"}).text
    assert "files of the answer are not on the server" in page and "Read it again" in page


@pytest.mark.parametrize("by", ["a reader", "tidying"])
def test_what_readers_said_goes_with_the_study(
    by: str, client: TestClient, services: Services
) -> None:
    arrives(services, b"one")
    job = answers(services)
    assert says(services, job, "Mrs Smith looks ill")
    if by == "a reader":
        assert client.delete(f"/api/v1/studies/{job.id}").status_code == 204
    else:
        grow_old(services)
        tidy(services)
    with services.database.read() as connection:
        assert connection.execute(FEEDBACK.select()).all() == []
    assert not says(services, job, "a form that was still open")
    arrives(services, b"one")
    answers(services, "healthy")
    assert FeedbackStore(services.database).of_study(job.id) == []


def test_words_on_an_earlier_answer_are_marked_and_give_no_label(
    client: TestClient, services: Services
) -> None:
    arrives(services, b"one")
    first = answers(services)
    store = FeedbackStore(services.database)
    assert says(services, first, "typical") and store.labels() == {first.id: "covid"}
    client.post(f"/api/v1/studies/{first.id}/requeue")
    assert store.labels() == {}
    second = answers(services, "healthy")
    assert [one.is_earlier for one in store.of_study(first.id)] == [True]
    assert list(csv.DictReader(io.StringIO(client.get("/feedback.csv").text))) == []
    assert not says(services, first, "on a page that was still open")
    assert says(services, second, "now it is right", "ben")
    assert store.labels() == {first.id: "healthy"}


def test_a_worker_on_a_deleted_study_does_not_answer_the_one_that_came_after(
    services: Services,
) -> None:
    id = arrives(services, b"wrong images").id
    old = claimed(services)
    remove(services, id)
    arrives(services, b"right images")
    new = claimed(services)
    assert new.id == old.id
    assert not services.jobs.heartbeat(old)
    assert not services.jobs.finish(old, status="diagnosed", diagnosis="covid", result="1")
    assert services.jobs.finish(new, status="diagnosed", diagnosis="healthy", result="2")
    assert stands(services, id).diagnosis == "healthy"
