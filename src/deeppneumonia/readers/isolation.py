"""`read_study` and `read_volume` as everyone calls them: all files are opened by a child process.

A fresh child reads each study. It stays for as long as its volume is used, so that slices are
still decoded one by one, when they are asked for. Of many volumes held at once the longest unused
ones give up their child, and get a new one when they are read again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.study import Study
from deeppneumonia.domain.volume import Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.archive import is_zip
from deeppneumonia.readers.children import Children
from deeppneumonia.readers.gate import Lease, cannot_open, stamps_of
from deeppneumonia.readers.limits import UnsafeInputError, check_voxels, current_limits
from deeppneumonia.readers.messages import (
    PIXEL_TYPES,
    ChangedStudyError,
    Said,
    error_heard,
    shape_heard,
    study_heard,
    unpack,
    volume_heard,
    words_heard,
)
from deeppneumonia.readers.process import ChildProcess, can_isolate, start_template

Result = TypeVar("Result")


def read_study(path: Path) -> Study:
    """What is at `path`, from headers alone: one patient, one exam, all of its series.

    The files of a study that came as a zip archive are gone when this returns; `read_volume`
    keeps them for as long as its volume lives.

    Raises:
        StudyError: nothing that can be read, several patients or studies, or unsafe input.
    """
    if not _isolated():
        from deeppneumonia.readers import study  # with all formats: a child does this else

        return study.read_study(path)
    order = order_for(Path(path), None)
    child = ChildProcess()
    try:
        said, _ = open_in(child, order, "study")
    finally:
        child.close()
    return study_heard(said, order.roots)


def read_volume(path: Path, series: str | None = None) -> Volume:
    """One series at `path` as axial slices in standard display, from feet to head.

    Rows run from front to back and columns from the patient's right to the left, whatever the
    patient's position on the table. Slices are decoded when they are asked for.

    Args:
        path: a DICOM folder, file or zip; NIfTI, MHA or NRRD; a folder of PNG or JPEG slices.
        series: Series Instance UID to read; None to have one chosen (`Series.chosen_because`).

    Raises:
        StudyError: the input cannot be read right; the message says why and what to do.
    """
    if not _isolated():
        from deeppneumonia.readers import study

        return study.read_volume(path, series)
    order = order_for(Path(path), series)
    child = _children.new()
    try:
        said, digest = open_in(child, order, "volume")
        shape = shape_heard(said)
        check_voxels(*shape)
        pixels = ChildSlices(order, shape, digest)
        volume = volume_heard(said, pixels, order.roots)
    except BaseException:
        _children.done_with(child)
        raise
    _children.keep(pixels, child)
    return volume


def read_tags(files: Sequence[Path], keywords: Sequence[str]) -> list[Mapping[str, str] | None]:
    """Elements of the headers of DICOM files as text, blank where missing; a mapping for each file.

    None stands for a file that is no DICOM file or has a header that cannot be read. Elements of
    the file meta information (TransferSyntaxUID) can be named too. One child reads all files, and
    a fresh one what comes after a file that broke it.
    """
    return by_one_child(files, lambda child, file: _tags_of(child, file, keywords))


def by_one_child(
    files: Sequence[Path], read: Callable[[ChildProcess | None, Path], Result]
) -> list[Result]:
    """What `read` makes of each file, with a child to ask; with None where this process reads.

    One child serves all files, and a fresh one what comes after a file that broke it.
    """
    found: list[Result] = []
    child: ChildProcess | None = None
    try:
        for file in files:
            if _isolated() and (child is None or not child.is_usable):
                child = ChildProcess()
            found.append(read(child, Path(file)))
    finally:
        if child is not None:
            child.close()
    return found


def prepare_to_read() -> None:
    """Start what reads studies, without waiting; the first read is a second faster for it."""
    if _isolated():
        start_template()


def protection() -> str:
    """How studies are read on this machine, for a person.

    Raises:
        ReadingProcessError: if a child was asked for and cannot be started.
    """
    if not _isolated():
        return "in this very process: sizes are checked, decoders are not bounded"
    child = ChildProcess()
    child.close()
    return f"in a bounded child process, without network ({child.network})"


def sharing_a_child() -> AbstractContextManager[None]:
    """Reads in this block, and in this thread's later ones, share a child: for many pictures.

    Fast (no fork for each), and less strict: what a file did to the child could reach the next
    100 files. Not for the studies of patients who wait for an answer.
    """
    return _children.sharing()


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
    """The folder in which a child may unpack; None for what is not packed."""

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
    """The child's account of a study, a volume or the tags of a file, and its hash."""
    request = {
        "do": what,
        "path": order.path,
        "series": order.series,
        "folder": order.lease.folder if order.lease else "",
        "memory_bytes": order.memory_bytes,
        **more,
    }
    body = _ask(child, request, order.cpu_s)[1]
    return unpack(body), sha256(body).hexdigest()


def _tags_of(
    child: ChildProcess | None, file: Path, keywords: Sequence[str]
) -> Mapping[str, str] | None:
    """What a child says of a header, or this process where there is none."""
    try:
        if child is None:
            from deeppneumonia.readers import tags

            return tags.tags_of(file, keywords)
        said, _ = open_in(child, order_for(file, None), "tags", keywords=keywords)
        return words_heard(said, keywords)
    except StudyError:
        return None


def _ask(child: ChildProcess, request: Said, cpu_s: float) -> tuple[Said, bytearray]:
    head, body = child.ask({**request, "cpu_s": cpu_s}, cpu_s)
    if "error" in head:
        raise error_heard(head)
    return head, body


@dataclass(frozen=True, eq=False)
class ChildSlices:
    """The pixels of a volume that a child process holds open."""

    order: Order
    shape: tuple[int, int, int]
    digest: str
    """Of what the child said of the volume."""

    def read(self, index: int) -> NDArray[Any]:
        """Slice `index`; StudyError when it is damaged, too costly, or has changed since."""
        child = _children.of(self) or self._opened_again()
        try:
            head, body = _ask(child, {"do": "slice", "index": index}, self.order.cpu_s)
        except ConnectionAbortedError:  # retired by another thread since
            return self.read(index)
        return self._pixels(index, head, body)

    def read_ahead(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Slices in turn, as `read` gives them; the child decodes the next one meanwhile."""
        child = _children.of(self) or self._opened_again()
        requests: list[Said] = [
            {"do": "slice", "index": index, "cpu_s": self.order.cpu_s} for index in indices
        ]
        with closing(child.ask_each(requests, self.order.cpu_s)) as answers:
            for index, (head, body) in zip(indices, answers, strict=True):
                if "error" in head:
                    raise error_heard(head)
                yield self._pixels(index, head, body)

    def _pixels(self, index: int, head: Said, body: bytearray) -> NDArray[Any]:
        """What came back, if it is a slice of this study."""
        rows, columns = self.shape[1:]
        kind = str(head.get("type"))
        if kind not in PIXEL_TYPES or len(body) != rows * columns * np.dtype(kind).itemsize:
            raise UnsafeInputError(
                f"Slice {index + 1} (counted from the feet) came back in another size than the "
                "study's: the file is damaged; export the study again."
            )
        return np.frombuffer(body, kind).reshape(rows, columns)

    def _opened_again(self) -> ChildProcess:
        child = ChildProcess()
        try:
            if open_in(child, self.order, "volume")[1] != self.digest:
                raise ChangedStudyError(
                    "The study is not the one that was opened: its files have changed since; "
                    "read it again."
                )
        except BaseException:
            child.close()
            raise
        _children.keep(self, child)
        return child


_children = Children()


def _isolated() -> bool:
    return bool(current_limits().isolated) and can_isolate()
