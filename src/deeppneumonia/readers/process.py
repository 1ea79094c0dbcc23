"""A child process that reads, seen from the program: started, asked, stopped when it must be."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice

from deeppneumonia.errors import DeepPneumoniaError, StudyError
from deeppneumonia.readers.endings import why_ended
from deeppneumonia.readers.limits import VARIABLE, UnsafeInputError, current_limits
from deeppneumonia.readers.messages import Said, pack, unpack

HEAD_BYTES = 65536
START_S = 120.0
"""A cold disk and a busy machine; usually one second."""

PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", VARIABLE)
"""Of the environment; passwords and keys stay out."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from deeppneumonia.readers.template import main; main(int(sys.argv[2]))"
)


class ReadingProcessError(DeepPneumoniaError):
    """The process that reads studies cannot be started on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The process that reads studies cannot be started: see `deeppneumonia doctor`, or read "
            "without its protection, for trusted files only, with `deeppneumonia --limits "
            "isolated=0 diagnose ...`."
        )


def can_isolate() -> bool:
    """Whether this system has what bounded children need; Linux has."""
    return hasattr(os, "memfd_create") and hasattr(os, "pidfd_open")


class _Template:
    """The process that forks children; ends when its control socket does."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", START, json.dumps(sys.path), str(descriptor)],
                pass_fds=[descriptor],
                env={k: os.environ[k] for k in PASSED_ON if k in os.environ} | ONE_THREAD,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self.stop)

    def fork(self, connection: socket.socket) -> None:
        """Have a child serve this connection; OSError when the template has ended."""
        socket.send_fds(self._control, [b"f"], [connection.fileno()])

    def stop(self) -> None:
        """Hang up and wait; only in the process that started it."""
        self._control.close()
        if os.getpid() == self.owner:
            self._process.wait()


_template: _Template | None = None
_starting = threading.Lock()


def start_template(*, anew: bool = False) -> _Template:
    """The template of this process, started if there is none; returns at once."""
    global _template  # noqa: PLW0603  (one to a process)
    with _starting:
        if _template is None or anew or _template.owner != os.getpid():
            if _template is not None:
                atexit.unregister(_template.stop)
                _template.stop()
            _template = _Template()
        return _template


Answer = tuple[Said, bytearray]
"""A head and a body."""

_Place = list[Answer | StudyError]
"""Where the answer to one request is put when it comes, or why there is none."""


class ChildProcess:
    """One child, which answers in the order in which it was asked.

    Args:
        shared: several volumes are read by it, one after the other.

    Raises:
        ReadingProcessError: if it cannot be started.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.owner = os.getpid()
        self.shared = shared
        self.reads = 0
        self._lock = threading.Lock()
        self._asking: set[object] = set()
        self._owed: deque[_Place] = deque()
        self.network = ""
        self._open = False
        self._handle: int | None = None
        try:
            head = self._start()
        except OSError as error:  # TimeoutError is one
            self.close()
            raise ReadingProcessError from error
        if "network" not in head or self._handle is None:
            self.close()
            raise ReadingProcessError
        self.network = str(head["network"])

    def _start(self) -> Said:
        """Have a child forked; what it says first."""
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._open = True
        with theirs:
            try:
                start_template().fork(theirs)
            except OSError:  # it was killed since the last read
                start_template(anew=True).fork(theirs)
        head, self._handle = self._receive(START_S)
        return head

    @property
    def is_usable(self) -> bool:
        """Not ended, and not inherited over a fork of the program."""
        return self._open and self.owner == os.getpid()

    @property
    def is_idle(self) -> bool:
        """Nobody is asking it, and it owes no answer."""
        return not (self._asking or self._owed)

    def ask(self, request: Said, cpu_s: float) -> Answer:
        """What the child says: a head, and a body.

        Raises:
            StudyError: the child broke a limit or crashed, and is gone.
            ConnectionAbortedError: it had ended or been retired before it could be asked.
        """
        with closing(self.ask_each([request], cpu_s)) as answers:
            return next(answers)

    def ask_each(self, requests: Sequence[Said], cpu_s: float) -> Generator[Answer, None, None]:
        """Answers in turn, as `ask` gives them; the next request is always with the child already.

        Others may ask between two answers, the same thread too: each gets its own. The child is
        not retired before the generator is exhausted or closed.
        """
        me = object()
        self._asking.add(me)
        rest, ahead = iter(requests), deque[_Place]()
        try:
            for _ in requests:
                yield self._next(rest, ahead, cpu_s)
        finally:
            # What it still owes is heard, and dropped, before its next answer: nothing may wait
            # here, where the garbage collector can come from within any other call.
            self._asking.discard(me)

    def _next(self, rest: Iterator[Said], ahead: deque[_Place], cpu_s: float) -> Answer:
        """The answer to the first of those sent ahead, after the one behind it has been sent."""
        if not self.is_usable:  # before the lock, which nobody opens after a fork
            raise ConnectionAbortedError
        with self._lock:
            try:
                for request in islice(rest, 2 - len(ahead)):
                    ahead.append(self._send(request))
                return self._hear(ahead.popleft(), cpu_s)
            except (StudyError, ConnectionAbortedError):
                raise
            except BaseException:  # Ctrl-C: this answer would be taken for the next one's
                self.close()
                raise

    def _send(self, request: Said) -> _Place:
        if not self._open:
            raise ConnectionAbortedError
        place: _Place = []
        self._owed.append(place)
        with suppress(BrokenPipeError):  # it has ended; how, is still to be heard
            self._connection.send(pack(request))
        return place

    def _hear(self, place: _Place, cpu_s: float) -> Answer:
        """Listen until the answer for this place has come; those before it go to their places."""
        while not place:
            if not self._open:  # it ended over what another had asked
                raise ConnectionAbortedError
            try:
                self._owed[0].append(self._answer(cpu_s))
            except StudyError as error:
                self._owed[0].append(error)
            self._owed.popleft()
        (found,) = place
        if isinstance(found, StudyError):
            raise found
        return found

    def _answer(self, cpu_s: float) -> Answer:
        """The next answer; StudyError, and the end of the child, where there is none."""
        wall_s = current_limits().wall_s(cpu_s)
        try:
            head, descriptor = self._receive(wall_s)
        except TimeoutError as error:
            self.close()
            raise UnsafeInputError(
                f"Reading the study took longer than {wall_s:.0f} s: a file is made to do "
                f"harm, or the disk or network under it has stopped answering."
            ) from error
        except OSError as error:
            self.close()
            raise why_ended(None, cpu_s) from error
        if descriptor is None:
            self.close()
            raise why_ended(head.get("ended"), cpu_s)
        return head, _content(descriptor, head)

    def retire(self) -> bool:
        """End the child unless it is being asked just now; returns whether it is gone."""
        if self._asking or not self._lock.acquire(blocking=False):
            return False
        try:
            self.close()
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """End the child, whatever it does; for those who alone may ask it."""
        if not self._open:
            return
        self._open = False
        # Before hanging up, at which it would begin to delete what it has unpacked: a new child may
        # soon unpack in the same place.
        if self._handle is not None:
            if self.owner == os.getpid():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
        self._connection.close()

    def _receive(self, timeout_s: float) -> tuple[Said, int | None]:
        """A head, and a descriptor if one came with it; TimeoutError when nothing comes."""
        waiting = select.poll()
        waiting.register(self._connection, select.POLLIN)
        if not waiting.poll(1000 * timeout_s):
            raise TimeoutError
        try:
            raw, descriptors, _, _ = socket.recv_fds(self._connection, HEAD_BYTES, 1)
        except ConnectionResetError:  # it ended without hearing us; its last words come next
            raw, descriptors, _, _ = socket.recv_fds(self._connection, HEAD_BYTES, 1)
        return (unpack(raw) if raw else {}), (descriptors[0] if descriptors else None)


def _content(descriptor: int, head: Said) -> bytearray:
    """The body that came with a head, and no more than it states."""
    limit = current_limits().file_bytes
    with open(descriptor, "rb") as file:
        size = head.get("bytes")
        if not isinstance(size, int) or not 0 <= size <= limit:
            raise UnsafeInputError(
                "The process that read the study gave an answer without measure: the file is made "
                "to do harm."
            )
        file.seek(0)
        content = bytearray(size)
        del content[file.readinto(content) :]
        return content
