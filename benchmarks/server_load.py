"""What the server stands: pages under many users, a large upload, a long run.

    python benchmarks/server_load.py --users 50 --seconds 60 --upload-mb 300
    python benchmarks/server_load.py --users 50 --seconds 1200        # the soak

Two workers read phantom studies with the default checkpoint all the while: a new one is sent
whenever fewer than two wait, and all but the last thirty are deleted. Memory is that of the server
process alone (VmRSS), which takes the uploads and answers the pages.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import deque
from pathlib import Path
from random import Random

import httpx

from deeppneumonia.phantoms import Form, write_cohort

MEGABYTE = 1024 * 1024


class Users:
    """People who look at the list and at one study, about two requests a second each."""

    def __init__(self, arrivals: "Arrivals", answered: str, count: int, seconds: float) -> None:
        self.arrivals = arrivals
        self.paths = {
            "newest study, REST": "/api/v1/studies/{newest}",
            "list, REST": "/api/v1/studies",
            "rows of the list, page": "/?part=true",
            "newest study, page": "/studies/{newest}",
            "answered study, page": f"/studies/{answered}",
        }
        self.ends = time.monotonic() + seconds
        self.times_ms: dict[str, list[float]] = {kind: [] for kind in self.paths}
        self.failures = 0
        # Made before the time begins: each would else read every certificate of the system in it.
        self.clients = [_client(arrivals.address) for _ in range(count)]
        self.threads = [threading.Thread(target=self._look, args=(n,)) for n in range(count)]

    def _look(self, number: int) -> None:
        random = Random(number)
        kinds = list(self.paths)
        with self.clients[number] as client:
            time.sleep(random.random())
            while time.monotonic() < self.ends:
                kind = random.choices(kinds, weights=(4, 2, 2, 1, 1))[0]
                path = self.paths[kind].format(newest=self.arrivals.sent[-1])
                began = time.perf_counter()
                self.failures += not _is_answered(client, path)
                self.times_ms[kind].append(1000 * (time.perf_counter() - began))
                time.sleep(random.random())

    def report(self) -> dict[str, object]:
        """Of each kind and of all together: how many, median and 99th percentile in ms."""
        every = [one for times in self.times_ms.values() for one in times]
        return {
            "failures": self.failures,
            **{kind: _spread(times) for kind, times in self.times_ms.items()},
            "all": _spread(every),
        }


def _client(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=60, verify=False, trust_env=False)


def _is_answered(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.HTTPError:
        return False


def _spread(times_ms: list[float]) -> dict[str, float]:
    ordered = sorted(times_ms)
    at = {"p50_ms": 0.5, "p99_ms": 0.99}
    return {"requests": len(ordered)} | {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1)
        for name, share in at.items()
        if ordered
    }


class Arrivals:
    """Keeps both workers busy: sends a study whenever fewer than two wait, deletes old ones."""

    KEPT = 30

    def __init__(self, address: str, archives: list[bytes]) -> None:
        self.address, self.archives = address, archives
        self.sent: deque[str] = deque()
        self.count = self.looks = self.both_busy = 0
        self._stop = threading.Event()
        self._client = _client(address)

    def send(self) -> str:
        """One study that the server has not seen: the end of a zip may bear any comment."""
        body = self.archives[self.count % len(self.archives)]
        comment = f"{self.count:08d}".encode()
        body = body[:-2] + len(comment).to_bytes(2, "little") + comment
        headers = {"Content-Type": "application/zip"}
        answer = self._client.post("/api/v1/studies", content=body, headers=headers)
        answer.raise_for_status()
        self.count += 1
        self.sent.append(str(answer.json()["id"]))
        return self.sent[-1]

    def start(self) -> None:
        self._thread = threading.Thread(target=self._keep_busy)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def total(self, state: str) -> int:
        """How many studies are in a state."""
        asked = {"state": state, "limit": 1}
        return int(self._client.get("/api/v1/studies", params=asked).json()["total"])

    def _keep_busy(self) -> None:
        while not self._stop.wait(0.5):
            self.looks += 1
            self.both_busy += self.total("running") == 2
            if self.total("queued") < 2:
                self.send()
            if len(self.sent) > self.KEPT:
                self._client.delete(f"/api/v1/studies/{self.sent.popleft()}")


class Memory:
    """The server's memory, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_mb = self.now_mb()
        self._watching = True
        threading.Thread(target=self._watch, daemon=True).start()

    def now_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def _watch(self) -> None:
        while self._watching:
            try:
                self.peak_mb = max(self.peak_mb, self.now_mb())
            except (OSError, IndexError):  # the server has ended
                return
            time.sleep(0.1)


def archives(folder: Path, count: int) -> list[bytes]:
    """Small phantom patients as zip archives, each another one."""
    write_cohort(folder, per_label=count, shape=(30, 256, 256), form=Form.DICOM)
    return [_zipped(one) for one in sorted(folder.glob("PHANTOM-*"))]


def _zipped(patient: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in patient.iterdir():
            archive.write(file, file.name)
    return buffer.getvalue()


def upload(address: str, megabytes: int) -> None:
    """A large body of noise, sent in pieces."""
    content = (os.urandom(MEGABYTE) for _ in range(megabytes))
    answer = httpx.post(
        f"{address}/api/v1/studies",
        content=content,
        headers={"Content-Type": "application/octet-stream"},
        timeout=600,
    )
    answer.raise_for_status()
    httpx.delete(f"{address}/api/v1/studies/{answer.json()['id']}", timeout=60)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "deeppneumonia", "serve", "--data", str(folder / "data")]
    command += ["--port", str(arguments.port), "--workers", "2", "--config", str(_config(folder))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{arguments.port}"
    try:
        _wait(address, process)
        memory = Memory(process.pid)
        start_mb = memory.now_mb()
        if arguments.upload_mb:
            upload(address, arguments.upload_mb)
        upload_mb = memory.peak_mb - start_mb
        arrivals = Arrivals(address, archives(folder / "phantoms", 4))
        answered = _one_answered(arrivals)
        arrivals.start()
        before_mb = memory.now_mb()
        users = Users(arrivals, answered, arguments.users, arguments.seconds)
        quarters_mb = _while_asking(users, memory, arguments.seconds)
        arrivals.stop()
        return {
            "load_average": os.getloadavg()[0],
            **users.report(),
            "studies_sent": arrivals.count,
            "both_workers_busy": round(arrivals.both_busy / max(arrivals.looks, 1), 2),
            "memory_mb": {
                "at_start": round(start_mb, 1),
                f"added_by_{arguments.upload_mb}_mb_upload": round(upload_mb, 1),
                "before_users": round(before_mb, 1),
                "after_each_quarter": [round(one, 1) for one in quarters_mb],
            },
        }
    finally:
        process.terminate()
        process.wait(120)


def _while_asking(users: Users, memory: Memory, seconds: float) -> list[float]:
    """The memory after each quarter of the time."""
    for thread in users.threads:
        thread.start()
    quarters_mb = []
    for _ in range(4):
        time.sleep(seconds / 4)
        quarters_mb.append(memory.now_mb())
    for thread in users.threads:
        thread.join()
    return quarters_mb


def _one_answered(arrivals: Arrivals) -> str:
    """The id of a study that stays, and has its answer already."""
    id = arrivals.send()
    arrivals.send()
    while arrivals.total("done") < 1:
        time.sleep(0.2)
    arrivals.sent.remove(id)
    return id


def _config(folder: Path) -> Path:
    file = folder / "server.toml"
    file.write_text("[server]\nrequests_per_minute = 1000000\nmax_queued_per_owner = 100000\n")
    return file


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if httpx.get(f"{address}/health/ready", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit("The server ended before it was ready.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--upload-mb", type=int, default=300)
    parser.add_argument("--port", type=int, default=8960)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(parser.parse_args(), Path(name)), indent=2))


if __name__ == "__main__":
    main()
