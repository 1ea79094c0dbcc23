"""One worker in this process: how it leaves, and what happens to its study meanwhile."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deeppneumonia.server.intake import submit
from deeppneumonia.server.jobs import Claim, JobStore
from deeppneumonia.server.removal import remove
from deeppneumonia.server.roster import Roster
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import Piece
from deeppneumonia.server.worker import Outcome, Worker, is_gone, name_of, own_name


def working(data: Path, work: Callable[[Worker, Path], None], **settings: float) -> Worker:
    """A worker that has done its one study, all in this process; `work` is given its folder."""
    services = Services.open(Settings(data=str(data), min_free_bytes=0).but(**settings))
    folder = services.storage.incoming()
    (folder / "part").write_bytes(b"study")
    piece = Piece(path=folder / "part", name="a.zip", sha256="0" * 64, size_bytes=5)
    submit(services, folder, [piece], owner="anna", source="rest")

    def leaves_meanwhile(_study: Path, out: Path) -> Outcome:
        worker.leaving.set()
        (out / "result.json").write_text("{}")
        work(worker, out)
        return Outcome("refused")

    worker = Worker(services, leaves_meanwhile)
    worker.run()
    return worker


def test_a_job_in_hand_is_finished_before_the_worker_leaves(tmp_path: Path) -> None:
    worker = working(tmp_path, lambda _worker, _out: None)
    ((job,), _) = worker.services.jobs.list()
    assert job.state == "done"


def test_a_worker_that_is_to_leave_says_that_it_lives_no_oftener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Roster, "see", lambda _roster, name: seen.append(name))
    working(tmp_path, lambda _worker, _out: time.sleep(1), lease_s=1.0)
    assert 1 <= len(seen) <= 4  # once in a quarter of its lease


def test_a_study_deleted_just_after_its_answer_does_not_end_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = JobStore.finish

    def and_is_deleted(jobs: JobStore, claim: Claim, **answer: Any) -> bool:
        return finish(jobs, claim, **answer) and remove(opened[0].services, claim.id)

    opened: list[Worker] = []
    monkeypatch.setattr(JobStore, "finish", and_is_deleted)
    worker = working(tmp_path, lambda worker, _out: opened.append(worker))
    assert worker.services.jobs.list()[1] == 0


HEAVY = """
import atexit, time
from deeppneumonia.server import worker
atexit.register(time.sleep, 600)
worker.serve_jobs(lambda settings: None)
"""
"""A worker whose libraries take long to be taken apart."""


def test_a_worker_without_work_ends_at_once(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path), min_free_bytes=0)
    services = Services.open(settings)
    command = [sys.executable, "-c", HEAVY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(settings.to_json() + "\n")
        process.stdin.flush()
        while not services.roster.names():
            time.sleep(0.05)
        process.stdin.close()
        assert process.wait(15) == 0
    assert services.roster.names() == set()


def test_a_dead_worker_is_told_from_a_living_one() -> None:
    assert not is_gone(own_name())
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    name = name_of(process.pid)
    assert not is_gone(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_gone(name)
    assert not is_gone("another-host/1/1")


def test_settings_reach_a_worker_unchanged(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path), public_hosts=("ct.example.org",), lease_s=7)
    assert Settings.from_json(settings.to_json()) == settings
