"""The side of the wall on which files are opened: a child process that bounds itself, and answers.

Each limit is set before the first byte of a study is read, and kept by the kernel: a child that
breaks one is stopped, and its end says which. It has no network, writes no core dump (there would
be patients in it) and sends facts and pixels through memory, not through files.
"""

import errno
import math
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deeppneumonia.domain.volume import Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers import study
from deeppneumonia.readers.clean_copy import write_deidentified
from deeppneumonia.readers.gate import Stamp, cannot_open, stamp_of, stamps_of
from deeppneumonia.readers.limits import UnsafeInputError, current_limits, way_to_raise
from deeppneumonia.readers.messages import (
    ChangedStudyError,
    Said,
    error_said,
    pack,
    unforeseen,
    unpack,
    volume_said,
)
from deeppneumonia.readers.tags import tags_of

Body = bytes | memoryview
REQUEST_BYTES = 65536
OPEN_FILES = 64
RECURSION = 400
"""pydicom takes about five calls a level, so that sequences may be nested some 70 deep; the usual
1,000 calls remain for the program that reads a header again for its report."""


class Reader:
    """Reads one volume at a time, and remembers what its files were like."""

    def __init__(self) -> None:
        self._volume: Volume | None = None
        self._stamps: dict[Path, Stamp] = {}

    def answer(self, request: Said) -> tuple[Said, Body]:
        """A few words, and a body: JSON of a study, volume or header, or the pixels of a slice."""
        if request["do"] == "slice":
            return self._slice(int(request["index"]))
        path = Path(str(request["path"]))
        if request["do"] == "tags":
            return {}, pack(tags_of(path, request["keywords"]))
        if request["do"] == "deidentify":
            stem, key = Path(str(request["stem"])), bytes.fromhex(request["key"])
            return {}, pack({"written": write_deidentified(path, stem, key)})
        before = stamps_of(path)
        unpacked = Path(str(request["folder"])) if request["folder"] else None
        if request["do"] == "study":
            said: Said = asdict(study.read_study(path, unpacked=unpacked))
        else:
            self._volume = None  # frees the last one first
            self._volume = study.read_volume(path, request["series"], unpacked=unpacked)
            said = volume_said(self._volume)
        if stamps_of(path) != before:
            raise ChangedStudyError
        self._stamps = before
        return {}, pack(said)

    def _slice(self, index: int) -> tuple[Said, Body]:
        assert self._volume is not None, "a volume comes before its slices"
        pixels = np.ascontiguousarray(self._volume.slice(index))
        self._check_unchanged(index)
        return {"type": str(pixels.dtype)}, pixels.data.cast("B")

    def _check_unchanged(self, index: int) -> None:
        assert self._volume is not None and self._volume.series is not None
        files = self._volume.series.files
        for file in [files[index]] if len(files) == len(self._volume) else files:
            known = self._stamps.get(file)  # None for what was unpacked into a folder of ours
            if known is not None and (not file.exists() or stamp_of(file) != known):
                raise ChangedStudyError


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side hangs up; then remove what was unpacked here."""
    sys.setrecursionlimit(RECURSION)
    _bound_once()
    reader, folder, allowed_bytes = Reader(), "", 0
    while raw := connection.recv(REQUEST_BYTES):
        request = unpack(raw)
        folder = str(request.get("folder", folder))
        tempfile.tempdir = folder or None
        allowed_bytes = int(request.get("memory_bytes", allowed_bytes))
        _bound(request)
        head, body = _answer(reader, request, allowed_bytes)
        _send(connection, head, body)
    # The other side removes it too, unless it was killed.
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _answer(reader: Reader, request: Said, allowed_bytes: int) -> tuple[Said, Body]:
    """An answer or a typed refusal, whatever happens."""
    try:
        return reader.answer(request)
    except StudyError as error:
        return error_said(error), b""
    except MemoryError:
        return error_said(_too_much_memory(allowed_bytes)), b""
    except RecursionError:
        return error_said(_too_deep()), b""
    except OSError as error:
        return error_said(_no_room_or_closed(error)), b""
    except Exception as error:
        return error_said(unforeseen(error)), b""


def _too_much_memory(allowed_bytes: int) -> UnsafeInputError:
    return UnsafeInputError(
        f"Reading the study would take more memory than is allowed ({allowed_bytes / 1e6:.0f} MB): "
        "the file is damaged or made to do harm; " + way_to_raise("memory_bytes", "2e9")
    )


def _too_deep() -> UnsafeInputError:
    return UnsafeInputError(
        "A header of the study has sequences nested more deeply than any scanner writes: the file "
        "is damaged or made to do harm; export the study again."
    )


def _no_room_or_closed(error: OSError) -> StudyError:
    if error.errno in (errno.EFBIG, errno.ENOSPC):
        return StudyError(
            "There is no room for what the study holds in memory or in the folder for temporary "
            "files: free some space and read it again."
        )
    return cannot_open(error)


def _bound_once() -> None:
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, current_limits().file_bytes),
    ):
        value, _ = _within_hard(limit, most)
        resource.setrlimit(limit, (value, value))


def _bound(request: Said) -> None:
    """Processor time for this request; memory for this study, beyond what there is now."""
    until = math.ceil(time.process_time() + float(request["cpu_s"]) - 0.5)
    _lower(resource.RLIMIT_CPU, max(until, 1))
    if "memory_bytes" in request:
        _lower(resource.RLIMIT_DATA, _data_bytes() + int(request["memory_bytes"]))


def _lower(limit: int, value: int) -> None:
    """The soft limit, which the next request may set anew."""
    resource.setrlimit(limit, _within_hard(limit, value))


def _within_hard(limit: int, value: int) -> tuple[int, int]:
    """A soft limit that is never above the hard one, and that."""
    _, hard = resource.getrlimit(limit)
    return (value if hard < 0 else min(value, hard)), hard


def _data_bytes() -> int:
    """Private memory of this process (proc(5), statm: data)."""
    pages = Path("/proc/self/statm").read_text().split()[5]
    return int(pages) * resource.getpagesize()


def _send(connection: socket.socket, head: Said, body: Body) -> None:
    descriptor = os.memfd_create("answer")
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  (a descriptor, not a path)
        rest: Any = memoryview(body)
        while rest:
            rest = rest[file.write(rest) :]
        socket.send_fds(connection, [pack({**head, "bytes": len(body)})], [descriptor])
