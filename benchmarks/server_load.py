"""What the server stands: status pages under many users, a large upload, a long run.

    python benchmarks/server_load.py --users 50 --seconds 60 --upload-mb 300
    python benchmarks/server_load.py --users 50 --seconds 1200        # the soak

Two workers read phantom studies with the default checkpoint meanwhile. Memory is that of the server
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
from collections.abc import Iterator
from pathlib import Path

import httpx

from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.server.settings import Settings

MEGABYTE = 1024 * 1024


class Users:
    """People who look at one study after the other, each with a second or so between."""

    def __init__(self, address: str, id: str, count: int, seconds: float) -> None:
        self.address, self.id = address, id
        self.ends = time.monotonic() + seconds
        self.times_ms: list[float] = []
        self.failures = 0
        self.threads = [threading.Thread(target=self._look, args=(n,)) for n in range(count)]

    def _look(self, number: int) -> None:
        with httpx.Client(base_url=self.address, timeout=30) as client:
            time.sleep(number / len(self.threads))
            while time.monotonic() < self.ends:
                for path in (f"/api/v1/studies/{self.id}", "/api/v1/studies"):
                    began = time.perf_counter()
                    answer = client.get(path)
                    self.times_ms.append(1000 * (time.perf_counter() - began))
                    self.failures += answer.status_code != 200
                time.sleep(1)

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.times_ms)
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1)


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


def studies(folder: Path, count: int) -> Iterator[bytes]:
    """Small phantom patients as zip archives, each another one."""
    write_cohort(folder, per_label=count, shape=(30, 256, 256), form=Form.DICOM)
    for patient in sorted(one for one in folder.iterdir() if one.is_dir()):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in patient.iterdir():
                archive.write(file, file.name)
        yield buffer.getvalue()


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
    settings = Settings(data=str(folder / "data"), workers=2, port=arguments.port)
    command = [sys.executable, "-m", "deeppneumonia", "serve", "--data", settings.data]
    command += ["--port", str(arguments.port), "--workers", "2", "--config", str(_config(folder))]
    process = subprocess.Popen(command)
    address = f"http://127.0.0.1:{arguments.port}"
    try:
        _wait(address, process)
        memory = Memory(process.pid)
        start_mb = memory.now_mb()
        if arguments.upload_mb:
            upload(address, arguments.upload_mb)
        upload_mb = memory.peak_mb - start_mb
        ids = [_send(address, one) for one in studies(folder / "phantoms", arguments.studies)]
        users = Users(address, ids[0], arguments.users, arguments.seconds)
        before_mb = memory.now_mb()
        for thread in users.threads:
            thread.start()
        time.sleep(arguments.seconds / 4)
        quarter_mb = memory.now_mb()
        for thread in users.threads:
            thread.join()
        return {
            "load_average": os.getloadavg()[0],
            "requests": len(users.times_ms),
            "failures": users.failures,
            "p50_ms": users.percentile_ms(0.5),
            "p99_ms": users.percentile_ms(0.99),
            "memory_mb": {
                "at_start": round(start_mb),
                f"added_by_{arguments.upload_mb}_mb_upload": round(upload_mb),
                "before_users": round(before_mb),
                "after_a_quarter": round(quarter_mb),
                "at_the_end": round(memory.now_mb()),
            },
        }
    finally:
        process.terminate()
        process.wait(120)


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


def _send(address: str, study: bytes) -> str:
    headers = {"Content-Type": "application/zip"}
    answer = httpx.post(f"{address}/api/v1/studies", content=study, headers=headers, timeout=60)
    return str(answer.json()["id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--upload-mb", type=int, default=300)
    parser.add_argument("--studies", type=int, default=4, help="of each label, read meanwhile")
    parser.add_argument("--port", type=int, default=8960)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(parser.parse_args(), Path(name)), indent=2))


if __name__ == "__main__":
    main()
