"""Kill the server and its workers at random while studies come in; then count.

    python benchmarks/server_chaos.py --jobs 2000 --kills 50
    python benchmarks/server_chaos.py --jobs 2000 --kills 50 --postgres --away 30

The server, its supervisor, its workers and the store are the real ones. Only the work is small: the
sha256 of the upload instead of a diagnosis, which the worker loop takes as a parameter. With
`--postgres` a cluster of its own is started in a temporary folder (Debian: postgresql).
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from deeppneumonia.server.services import Services
from deeppneumonia.server.serving import serve
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worker import Outcome, Work, serve_jobs
from deeppneumonia.server.worklist import Job, State

SENDERS = 4
HTTP = httpx.Client(verify=False, trust_env=False)
"""One for all: each new one would read every certificate of the system first."""

READY_WITHIN_S = 10


def hashing(_: Settings) -> Work:
    """The small work: the hash of the upload, after a moment in which a kill can come."""

    def work(study: Path, folder: Path) -> Outcome:
        digest = hashlib.sha256(study.read_bytes()).hexdigest()
        time.sleep(0.02)
        (folder / "result.json").write_text(json.dumps({"sha256": digest}))
        return Outcome("diagnosed")

    return work


class Server:
    """The real server in a process of its own, which can be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = f"http://127.0.0.1:{settings.port}"
        self.ready_s: list[float] = []
        self.own_ends = 0
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        self._spawn()
        while not self._is_ready():
            if self.process.poll() is not None:  # as systemd would
                self.own_ends += 1
                self._spawn()
            time.sleep(0.05)
        self.ready_s.append(time.monotonic() - began)

    def _spawn(self) -> None:
        command = [sys.executable, __file__, "--serve", self.settings.to_json()]
        self.process = subprocess.Popen(command, stderr=sys.stderr)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()

    def kill_worker(self) -> bool:
        workers = _children(self.process.pid)
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)
        return bool(workers)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def _is_ready(self) -> bool:
        try:
            return HTTP.get(f"{self.address}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


class Senders:
    """Studies sent by several hands at once, each again and again until the server has it."""

    def __init__(self, address: str, jobs: int) -> None:
        self.address = address
        self.waiting = [os.urandom(2000) for _ in range(jobs)]
        self.accepted: dict[str, str] = {}
        self.refusals: dict[str, int] = {}
        self.sent, self.at_most = 0, jobs
        """Nobody sends more for now, so that kills are spread over all that is sent."""
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def _send(self) -> None:
        while True:
            with self._lock:
                if not self.waiting:
                    return
                is_early = self.sent >= self.at_most
                study = b"" if is_early else self.waiting.pop()
                self.sent += not is_early
            if is_early:
                time.sleep(0.01)
                continue
            digest = hashlib.sha256(study).hexdigest()
            id = self._until_accepted(study)
            with self._lock:
                self.accepted[digest] = id

    def _until_accepted(self, study: bytes) -> str:
        while True:
            try:
                answer = HTTP.post(
                    f"{self.address}/api/v1/studies",
                    content=study,
                    headers={"Content-Type": "application/octet-stream"},
                    timeout=30,
                )
            except httpx.HTTPError as error:
                self._count(type(error).__name__)
            else:
                if answer.status_code in (200, 202):
                    return str(answer.json()["id"])
                wait = "with" if "retry-after" in answer.headers else "without"
                self._count(f"{answer.status_code} {wait} Retry-After")
            time.sleep(0.1)

    def _count(self, what: str) -> None:
        with self._lock:
            self.refusals[what] = self.refusals.get(what, 0) + 1


class Cluster:
    """A PostgreSQL of our own on loopback, in a temporary folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self.folder, self.port = folder / "cluster", port
        self.prefix: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            self.folder.mkdir()
            folder.chmod(0o711)
            shutil.chown(self.folder, "postgres")
            self.prefix = ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "--auth=trust", "--username=chaos")
        self.start()
        self.url = f"postgresql://chaos@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.prefix, str(self.bin / program), "-D", str(self.folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def chaos(arguments: argparse.Namespace) -> int:
    """Send, kill, wait, count; returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = Cluster(folder, arguments.port + 1) if arguments.postgres else None
        settings = Settings(
            data=str(folder / "data"), database=cluster.url if cluster else "",
            port=arguments.port, workers=2, lease_s=5, backoff_s=0.1, max_queued=1_000_000,
            max_crashes=20, requests_per_minute=10_000_000, min_free_bytes=0,
        )  # fmt: skip
        began = time.monotonic()
        server = Server(settings)
        try:
            senders = Senders(server.address, arguments.jobs)
            senders.at_most = 0
            for thread in senders.threads:
                thread.start()
            killed = _kill(server, arguments, senders)
            if cluster and arguments.away:
                _take_away(cluster, arguments.away, server)
            for thread in senders.threads:
                thread.join()
            services = Services.open(settings)
            _wait_until_done(services)
            report = _count(services, senders, server) | killed
            report["seconds"] = round(time.monotonic() - began)
        finally:
            server.stop()
            if cluster:
                cluster.stop()
    print(json.dumps(report, indent=2))
    is_good = not report["lost"] and not report["doubled"] and not report["wrong"]
    return 0 if is_good and report["slowest_ready_s"] < READY_WITHIN_S else 1


def _kill(server: Server, arguments: argparse.Namespace, senders: Senders) -> dict[str, int]:
    """Spread the kills over the arrival of the studies: the server and a worker in turn."""
    counts = {"server_kills": 0, "worker_kills": 0}
    while (done := sum(counts.values())) < arguments.kills:
        senders.at_most = round(arguments.jobs * (done + 1) / (arguments.kills + 1))
        if len(senders.accepted) < arguments.jobs * (done + 0.5) / (arguments.kills + 1):
            time.sleep(0.01)
            continue
        time.sleep(random.random() * 0.3)
        if counts["server_kills"] <= counts["worker_kills"]:
            server.kill()
            counts["server_kills"] += 1
        elif server.kill_worker():
            counts["worker_kills"] += 1
    senders.at_most = arguments.jobs
    return counts


def _take_away(cluster: Cluster, seconds: float, server: Server) -> None:
    cluster.stop()
    ends = time.monotonic() + seconds
    probe = HTTP.post(
        f"{server.address}/api/v1/studies",
        content=b"while the database is away",
        headers={"Content-Type": "application/octet-stream"},
        timeout=60,
    )
    print(f"PostgreSQL away: {probe.status_code}, Retry-After {probe.headers.get('retry-after')}")
    time.sleep(max(ends - time.monotonic(), 0))
    cluster.start()


def _wait_until_done(services: Services) -> None:
    ends = time.monotonic() + 600
    while time.monotonic() < ends:
        counts = services.jobs.counts()
        if not counts[State.QUEUED] and not counts[State.RUNNING]:
            return
        time.sleep(0.2)


def _count(services: Services, senders: Senders, server: Server) -> dict[str, object]:
    rows: list[Job] = []
    while page := services.jobs.list(limit=500, offset=len(rows))[0]:
        rows.extend(page)
    ours = [job for job in rows if job.content in senders.accepted]
    done = {job.content: job for job in ours if job.state is State.DONE}
    folders = services.storage.data / "results"
    return {
        "accepted": len(senders.accepted),
        "done": len(done),
        "dead": sum(job.state is State.DEAD for job in ours),
        "lost": len(senders.accepted.keys() - done.keys()),
        "doubled": len(ours)
        - len({job.content for job in ours})
        + sum(len(list(folder.iterdir())) != 1 for folder in folders.iterdir()),
        "wrong": sum(not _is_right(services, job) for job in done.values())
        + sum(done[digest].id != id for digest, id in senders.accepted.items() if digest in done),
        "crashes_counted": sum(job.crashes for job in ours),
        "failures_counted": sum(job.failures for job in ours),
        "refusals_before_acceptance": senders.refusals,
        "server_ended_by_itself": server.own_ends,
        "ready_s_median": round(sorted(server.ready_s)[len(server.ready_s) // 2], 2),
        "slowest_ready_s": round(max(server.ready_s), 2),
    }


def _is_right(services: Services, job: Job) -> bool:
    file = services.storage.result_file(job.id, job.result or "0", "result.json")
    return file is not None and json.loads(file.read_text()) == {"sha256": job.content}


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, fields = stat.read_text().partition(" ")
        except OSError:
            continue
        if fields.rpartition(")")[2].split()[1] == str(parent):
            found.append(int(pid))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--port", type=int, default=8970)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--away", type=float, default=0, help="seconds without PostgreSQL")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        serve_jobs(hashing)
        return 0
    if arguments.serve:
        command = (sys.executable, __file__, "--work")
        serve(Settings.from_json(arguments.serve), command=command)
        return 0
    return chaos(arguments)


if __name__ == "__main__":
    sys.exit(main())
