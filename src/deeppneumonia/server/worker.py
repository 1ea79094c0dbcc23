"""The process that reads studies: claims a job, works, puts the answer in place. Alone loads torch.

    python -m deeppneumonia.server.worker        settings as one JSON line on standard input

Standard input stays open as long as the server lives, however that ends; then the worker takes no
new job, and one in hand has `LEAVE_WITHIN_S` to be finished before it is given back untouched.
Terminate (SIGTERM) has it finish the job in hand, however long that takes.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.server.database import DatabaseAwayError, patiently
from deeppneumonia.server.jobs import Claim
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings

# By name: this module runs as `__main__`, which is no part of the log that is shown.
logger = logging.getLogger("deeppneumonia.server.worker")

POLL_S = 0.25
SEEN_EVERY_S = 5.0
TOO_LONG = 70
LEAVE_WITHIN_S = 25.0
"""After the server's end. The supervisor of a server that is stopped waits a little longer."""

NICENESS = 10
"""A study may take a little longer where a page must not: what is over goes to the readers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the row of a finished job says of its answer; the rest lies in the result's folder."""

    status: str
    diagnosis: str | None = None


Work = Callable[[Path, Path], Outcome]
"""Reads the study at the first path, writes its files into the folder at the second."""


def diagnosing(settings: Settings) -> Work:
    """The real work: one model, loaded once, asked for every study."""
    from deeppneumonia.reports import write_outputs
    from deeppneumonia.workflows.diagnose import Diagnoser  # torch: here and nowhere else
    from deeppneumonia.workflows.report import context_of
    from deeppneumonia.workflows.viewer import write_viewer

    diagnoser = Diagnoser.load(settings.checkpoint, device=settings.device)

    def work(study: Path, folder: Path) -> Outcome:
        reading = diagnoser.read(study)
        context = context_of(reading, diagnoser.checkpoint)
        for write in (write_outputs, write_viewer):
            write(reading.diagnosis, reading.key_slices, folder, context)
        found = reading.diagnosis
        return Outcome(str(found.status), None if found.diagnosis is None else str(found.diagnosis))

    return work


def reading(settings: Settings) -> Work:
    """The work that the settings ask for: in this process, or in a pool on Ray."""
    if settings.on_ray:
        from deeppneumonia.server.ray_pool import asking_ray

        return asking_ray(settings)
    return diagnosing(settings)


class Worker:
    """One process's loop over the jobs of a store."""

    def __init__(self, services: Services, work: Work) -> None:
        self.services = services
        self.work = work
        self.name = own_name()
        self.leaving = threading.Event()
        self._claim: Claim | None = None
        self._claimed_at = 0.0

    def run(self) -> None:
        """Work until asked to leave; a job in hand is finished first."""
        patiently(lambda: self.services.roster.sign_on(self.name))
        over = threading.Event()
        threading.Thread(target=self._keep_alive, args=(over,), daemon=True).start()
        try:
            while not self.leaving.is_set():
                if not self.once():
                    self.leaving.wait(POLL_S)
        finally:
            over.set()
        patiently(lambda: self.services.roster.sign_off(self.name))

    def once(self) -> bool:
        """Do the job whose turn it is; False when there is none."""
        claim = patiently(lambda: self.services.jobs.claim(self.name))
        if claim is None:
            return False
        self._claimed_at, self._claim = time.monotonic(), claim
        try:
            self._do(claim)
        finally:
            self._claim = None
        return True

    def _do(self, claim: Claim) -> None:
        jobs, storage = self.services.jobs, self.services.storage
        start = time.monotonic()
        try:
            with storage.new_result(claim.id, claim.fence) as folder:
                storage.check_whole(claim.id, claim.files)
                outcome = self.work(storage.study(claim.id), folder)
        except Exception as error:
            # Every failure ends here as a row that a person sees. The message may name a file.
            reason = str(error) if isinstance(error, DeepPneumoniaError) else type(error).__name__
            logger.warning("job %s failed: %s", claim.id, type(error).__name__)
            patiently(lambda: jobs.fail(claim, f"The study could not be worked on: {reason}"))
            return
        result = str(claim.fence)
        is_ours = patiently(
            lambda: jobs.finish(
                claim, status=outcome.status, diagnosis=outcome.diagnosis, result=result
            )
        )
        if is_ours:
            storage.remove_older_results(claim.id, claim.fence)
        else:  # cancelled, deleted or given to another worker meanwhile
            shutil.rmtree(storage.result(claim.id, result), ignore_errors=True)
        logger.info("job %s: %s in %.1f s", claim.id, outcome.status, time.monotonic() - start)

    def give_back(self) -> None:
        """Let another worker have the job in hand, if the store can be told; else its lease ends.

        Whoever calls this ends the process next: what still works here knows nothing of it.
        """
        claim = self._claim
        with contextlib.suppress(DatabaseAwayError):
            if claim is not None:
                self.services.jobs.release(claim)
            self.services.roster.sign_off(self.name)

    def _keep_alive(self, over: threading.Event) -> None:
        every_s = min(SEEN_EVERY_S, self.services.settings.lease_s / 4)
        while not over.wait(every_s):
            patiently(lambda: self.services.roster.see(self.name))
            claim = self._claim
            if claim is None:
                continue
            if time.monotonic() - self._claimed_at > self.services.settings.max_job_s:
                logger.error("job %s takes too long: this worker ends itself", claim.id)
                os._exit(TOO_LONG)
            patiently(lambda claim=claim: self.services.jobs.heartbeat(claim))  # type: ignore[misc]


def own_name() -> str:
    """Host, process and when it began: tells this process from a later one with its number."""
    return name_of(os.getpid())


def name_of(pid: int) -> str:
    """The name that a worker with this process number on this host has."""
    return f"{socket.gethostname()[:64]}/{pid}/{_began(pid)}"


def is_gone(name: str) -> bool:
    """Whether a worker of this host is certainly dead; False for those of other hosts."""
    host, pid, _ = name.rsplit("/", 2)
    return host == socket.gethostname()[:64] and name_of(int(pid)) != name


def _began(pid: int) -> str:
    try:
        # Field 22 of proc(5) stat, counted after the name, which may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "0"


def serve_jobs(make_work: Callable[[Settings], Work]) -> None:
    """A worker process from beginning to end: settings from standard input, then jobs."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("deeppneumonia").setLevel(logging.INFO)  # other libraries may name people
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the server tells us itself
    settings = Settings.from_json(sys.stdin.readline())
    os.nice(NICENESS)
    here: list[Worker] = []
    threading.Thread(target=_leave_with_the_server, args=(here,), daemon=True).start()
    work = make_work(settings)
    worker = Worker(patiently(lambda: Services.open(settings)), work)
    here.append(worker)
    signal.signal(signal.SIGTERM, lambda *_: worker.leaving.set())
    worker.run()
    worker.services.database.dispose()
    os._exit(0)  # taking torch apart takes seconds, on a busy machine more than it is given


def _leave_with_the_server(here: list[Worker]) -> None:
    """Wait for the server's end; this process ends soon after it.

    Args:
        here: the worker of this process, once there is one.
    """
    # Not through sys.stdin: at its end, the interpreter waits for whoever reads from that.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    if here:
        here[0].leaving.set()
        time.sleep(LEAVE_WITHIN_S)
        here[0].give_back()
    os._exit(0)


if __name__ == "__main__":
    try:
        serve_jobs(reading)
    except DeepPneumoniaError as problem:
        logger.error("%s", problem)
        sys.exit(problem.exit_code)
