"""Keeps the worker processes of one machine alive, and the store tidy."""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from deeppneumonia.server.database import DatabaseAwayError, patiently
from deeppneumonia.server.removal import remove, remove_unknown
from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import DAY_S, HOUR_S
from deeppneumonia.server.worker import is_gone, name_of

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "deeppneumonia.server.worker")
STOP_S = 30.0
SOON_S = 0.2


class Supervisor:
    """Starts workers, starts them again when they die, and ends them with the server."""

    def __init__(self, services: Services, command: Sequence[str] = COMMAND) -> None:
        self.services = services
        self.command = command
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin, in threads of their own."""
        targets = [self._keep_one] * self.services.settings.workers + [self._keep_tidy]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each worker finish its job, but not for ever."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_S + 5)

    def wait(self) -> None:
        """Stay until Ctrl-C or SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        try:
            while not self._stopping.wait(1):
                pass
        finally:
            self.stop()

    def _keep_one(self) -> None:
        wait_s = SOON_S
        while not self._stopping.is_set():
            code = self._run_one()
            # Killed from outside: again at once. One that cannot even start waits ever longer.
            wait_s = SOON_S if code <= 0 else min(wait_s * 2, 30)
            self._stopping.wait(wait_s)

    def _run_one(self) -> int:
        """A worker from start to end; returns its exit code, negative when a signal ended it."""
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        name = name_of(process.pid)
        try:
            process.stdin.write(self.services.settings.to_json() + "\n")
            process.stdin.flush()
            while process.poll() is None and not self._stopping.is_set():
                time.sleep(0.1)
        except BrokenPipeError:
            logger.warning("a worker ended before it began")
        _end(process)
        if process.returncode:
            logger.warning("a worker ended with code %d", process.returncode)
        patiently(lambda: self._forget(name))
        return process.returncode

    def _forget(self, name: str) -> None:
        self.services.jobs.worker_is_gone(name)
        self.services.roster.sign_off(name)

    def _keep_tidy(self) -> None:
        patiently(self._forget_the_dead)
        while not self._stopping.is_set():
            try:
                tidy(self.services)
            except (DatabaseAwayError, OSError) as error:
                logger.warning("tidying is put off: %s", type(error).__name__)
            self._stopping.wait(HOUR_S)

    def _forget_the_dead(self) -> None:
        """Workers of an earlier server on this machine that was killed with them."""
        for name in self.services.roster.names() | self.services.jobs.running_workers():
            if is_gone(name):
                self._forget(name)


def tidy(services: Services) -> None:
    """Delete what has been kept long enough, and what nobody owns."""
    age_s = services.settings.retention_days * DAY_S
    for id in services.jobs.finished_before(age_s) if age_s else []:
        if remove(services, id, finished_for_s=age_s):
            services.audit.write("server", "retention", id)
    # Young folders may belong to an upload whose row is just being written.
    for id in services.storage.ids(older_than_s=HOUR_S):
        if services.jobs.get(id) is None:
            remove_unknown(services, id)
    services.storage.sweep_incoming()
    services.accounts.remove_expired()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()  # asks the worker to leave, see there
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
