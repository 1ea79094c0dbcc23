"""The processes: only the worker loads torch, and every way in gives the same answer."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from deeppneumonia import Diagnoser
from deeppneumonia.reports import to_json
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worker import is_gone, name_of


@contextmanager
def running(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`deeppneumonia serve` as a person starts it; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deeppneumonia", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("DeepPneumonia is at http://127.0.0.1:"), line
        yield line.split()[-1].rstrip("/"), process
    finally:
        process.terminate()
        process.wait(timeout=120)


def without_chance(answer: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in answer.items() if key != "timing_s"}


@pytest.mark.slow
def test_every_way_in_gives_the_same_answer(
    tmp_path: Path, checkpoint: Path, dicom_study: Path
) -> None:
    expected = without_chance(to_json(Diagnoser.load(checkpoint).diagnose(dicom_study)))
    assert expected["slices"]
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", dicom_study)
    files = sorted(dicom_study.glob("*.dcm"))
    arguments = ["--data", str(tmp_path / "data"), "--checkpoint", str(checkpoint)]
    config = tmp_path / "server.toml"
    config.write_text("[server]\nquiet_s = 0.5\n")
    with running(*arguments, "--config", str(config)) as (address, _):
        client = httpx.Client(base_url=address, timeout=60)
        zip_id = client.post(
            "/api/v1/studies",
            content=Path(archive).read_bytes(),
            headers={"Content-Type": "application/zip"},
        ).json()["id"]
        files_id = client.post(
            "/api/v1/studies", files=[("files", (one.name, one.read_bytes())) for one in files]
        ).json()["id"]
        parts = b"".join(
            b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one.read_bytes() + b"\r\n"
            for one in reversed(files)
        )
        stored = client.post(
            "/dicom-web/studies",
            content=parts + b"--x--\r\n",
            headers={"Content-Type": "multipart/related; boundary=x"},
        )
        assert stored.status_code == 200
        ids = {one["id"] for one in client.get("/api/v1/studies").json()["studies"]}
        assert len(ids) == 3 and {zip_id, files_id} <= ids
        for id in ids:
            answer = without_chance(finished(client, id))
            assert answer == expected
        outputs = client.get(f"/api/v1/studies/{zip_id}").json()["outputs"]
        assert {"report.html", "report.pdf", "sr.dcm", "key_1.png"} <= set(outputs)


def test_an_answer_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    """Of the answer's head by the other side, which delays it by 40 ms (Nagle's algorithm)."""
    arguments = ("--data", str(tmp_path / "data"), "--workers", "0")
    times_s = []
    with running(*arguments) as (address, _), httpx.Client(base_url=address) as client:
        for _ in range(60):
            start = time.perf_counter()
            assert client.get("/health/live").status_code == 200
            times_s.append(time.perf_counter() - start)
    assert min(times_s[30:]) < 0.03  # the first ones are acknowledged at once


def test_a_head_without_end_is_cut_off(tmp_path: Path) -> None:
    with (
        running("--data", str(tmp_path / "data"), "--workers", "0") as (address, _),
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as caller,
        pytest.raises(ConnectionError),
    ):
        caller.settimeout(60)
        caller.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        for _ in range(64):
            caller.sendall(b"x" * 1024 * 1024)


def finished(client: httpx.Client, id: str) -> dict[str, object]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        view = client.get(f"/api/v1/studies/{id}").json()
        if view["state"] == "done":
            answer: dict[str, object] = client.get(f"/api/v1/studies/{id}/result").json()
            return answer
        assert view["state"] in ("queued", "running"), view
        time.sleep(0.2)
    raise AssertionError("the study was not read")


def test_the_server_process_never_loads_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from fastapi.testclient import TestClient\n"
        "from deeppneumonia.server import serving\n"
        "from deeppneumonia.server.app import create_app\n"
        "from deeppneumonia.server.settings import Settings\n"
        "client = TestClient(create_app(Settings(data=sys.argv[1])), 'http://127.0.0.1')\n"
        "head = {'Content-Type': 'application/zip'}\n"
        "assert client.post('/api/v1/studies', content=b'x', headers=head).status_code == 202\n"
        "assert client.get('/api/v1/studies').status_code == 200\n"
        "print('torch' in sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert found.stdout == "False\n", found.stderr


@contextmanager
def started_worker(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A worker's own process, which lives until its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, "-m", "deeppneumonia.server.worker"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin is not None
        worker.stdin.write(settings.to_json() + "\n")
        worker.stdin.flush()
        yield worker


def test_a_worker_without_its_model_says_why_and_ends(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "data"), checkpoint=str(tmp_path / "nowhere"))
    with started_worker(settings) as worker:
        assert worker.stderr is not None
        said = worker.stderr.read()  # to its end, while the server lives
    assert worker.returncode == 3
    assert "nowhere" in said and "Traceback" not in said


def test_the_log_has_a_line_for_each_study_that_was_read(
    client: TestClient, settings: Settings, checkpoint: Path
) -> None:
    """Also for one that is refused before the network's turn; it names the study by its id."""
    head = {"Content-Type": "application/zip"}
    id = client.post("/api/v1/studies", content=b"no zip", headers=head).json()["id"]
    with started_worker(settings.but(checkpoint=str(checkpoint))) as worker:
        assert worker.stdin is not None and worker.stderr is not None
        eventually(lambda: client.get(f"/api/v1/studies/{id}").json()["state"] == "done")
        worker.stdin.close()
        said = worker.stderr.read()
    assert f"job {id}: refused in" in said


SLOW = """
import os, sys, time
from pathlib import Path
from deeppneumonia.server import worker

def stay(when):
    Path(sys.argv[1]).write_text(str(os.getpid()))
    if when == sys.argv[2]:
        time.sleep(600)

def make(settings):
    def work(study, folder):
        stay("working")
    stay("loading")
    return work

worker.LEAVE_WITHIN_S = 1
worker.serve_jobs(make)
"""
"""A worker that never comes to an end of what it does."""

SERVE = """
import json, sys
from deeppneumonia.server.serving import serve
from deeppneumonia.server.settings import Settings
command = json.loads(sys.argv[2])
serve(Settings.from_json(sys.argv[1]), lambda address: print(address, flush=True), command)
"""


@pytest.mark.parametrize("at", ["loading", "working"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_server(how: signal.Signals, at: str, tmp_path: Path) -> None:
    note = tmp_path / "worker.pid"
    settings = Settings(data=str(tmp_path / "data"), port=0, min_free_bytes=0)
    worker = json.dumps([sys.executable, "-c", SLOW, str(note), at])
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, settings.to_json(), worker], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    httpx.post(
        f"{address}api/v1/studies", content=b"x", headers={"Content-Type": "application/zip"}
    )
    services = Services.open(settings)
    try:
        begun = note.exists if at == "loading" else lambda: services.jobs.counts()["running"]
        eventually(begun)
        name = name_of(int(note.read_text()))
        assert not is_gone(name)
        server.send_signal(how)
        server.wait()
        if how == signal.SIGTERM:
            assert server.returncode == 0 and is_gone(name)
        eventually(lambda: is_gone(name))
        (job,), _ = services.jobs.list()
        assert (job.state, job.crashes) == ("queued", 0)
        assert services.roster.names() == set()
    finally:
        server.kill()
        services.database.dispose()


def test_a_stopped_server_leaves_one_file_to_back_up(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    settings = Settings(data=str(data), port=0, workers=0, min_free_bytes=0)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, settings.to_json(), "[]"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        sent = {"content": b"x", "headers": {"Content-Type": "application/zip"}}
        assert httpx.post(f"{address}api/v1/studies", **sent).status_code == 202
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "server.db").stat().st_mode) == 0o600
    copied = shutil.copy(data / "server.db", tmp_path / "copy.db")
    with contextlib.closing(sqlite3.connect(copied)) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_small_chaos_loses_and_doubles_nothing() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "server_chaos.py"
    port = 20_000 + os.getpid() % 12_000  # not lent to connections
    ended = subprocess.run(
        [sys.executable, str(script), "--jobs", "30", "--kills", "5", "--port", str(port)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = json.loads(ended.stdout)
    assert (report["accepted"], report["done"]) == (30, 30), ended.stderr
    assert (report["lost"], report["doubled"], report["wrong"]) == (0, 0, 0)
    assert report["server_kills"] + report["worker_kills"] == 5
