"""What a child process is asked to read: how much that may cost, and where it may unpack."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deeppneumonia.readers.archive import is_zip
from deeppneumonia.readers.gate import Lease, cannot_open, stamps_of
from deeppneumonia.readers.limits import current_limits
from deeppneumonia.readers.messages import Said, error_heard, unpack
from deeppneumonia.readers.process import ChildProcess


@dataclass(frozen=True)
class Order:
    """What is to be read, and how much that may cost."""

    path: Path
    series: str | None
    memory_bytes: int
    cpu_s: float
    """Processor time for opening it, and for a slice again: one that stands across the files of
    a sagittal series needs them all."""

    lease: Lease | None
    """The folder in which children unpack, one after the other in the same place; None for what is
    not packed."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where the files of the study may lie; a volume's header may have pixels beside it."""
        place = self.path if self.path.is_dir() else self.path.parent
        return (place, self.lease.folder) if self.lease else (place,)


def order_for(path: Path, series: str | None) -> Order:
    """Measured on names and sizes alone; refused here if there is nothing, or too much."""
    limits = current_limits()
    try:
        sizes = [size for size, _, _ in stamps_of(path).values()]
        packed = path.is_file() and is_zip(path)
    except OSError as error:
        raise cannot_open(error) from error
    largest = max(sizes, default=0)
    return Order(
        path=path.absolute(),
        series=series,
        memory_bytes=limits.memory_bytes + limits.memory_ratio * largest,
        cpu_s=limits.cpu_s(len(sizes), sum(sizes)),
        lease=Lease() if packed else None,
    )


def open_in(child: ChildProcess, order: Order, what: str, **more: object) -> tuple[Said, str]:
    """The child's account of a study, a volume or the tags of a file, and its hash.

    The hash is the same for the same files, wherever they were unpacked.
    """
    request = {
        "do": what,
        "path": order.path,
        "series": order.series,
        "folder": order.lease.folder if order.lease else "",
        "memory_bytes": order.memory_bytes,
        **more,
    }
    head, body = child.ask({**request, "cpu_s": order.cpu_s}, order.cpu_s)
    if "error" in head:
        raise error_heard(head)
    return unpack(body), sha256(_placeless(body, order)).hexdigest()


def _placeless(body: bytearray, order: Order) -> bytes | bytearray:
    """An account without the folder that was unpacked into, and with the stamp of what was packed.

    Of an archive that has another content since, the same account could come.
    """
    if order.lease is None:
        return body
    folder = json.dumps(str(order.lease.folder))[1:-1]  # as it stands inside a text of JSON
    stamps = sorted(stamps_of(order.path).values())
    return body.replace(folder.encode(), b"") + repr(stamps).encode()
