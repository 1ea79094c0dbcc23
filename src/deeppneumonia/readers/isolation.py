"""`read_study` and `read_volume` as everyone calls them: all files are opened by a child process.

A fresh child reads each study. It stays for as long as its volume is used, so that slices are
still decoded one by one, when they are asked for. Of many volumes held at once the longest unused
ones give up their child, and get a new one when they are read again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from deeppneumonia.domain.study import Study
from deeppneumonia.domain.volume import Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.child_slices import ChildSlices, children
from deeppneumonia.readers.limits import check_voxels, current_limits
from deeppneumonia.readers.messages import shape_heard, study_heard, volume_heard, words_heard
from deeppneumonia.readers.orders import open_in, order_for
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
    child = children.new()
    try:
        said, digest = open_in(child, order, "volume")
        shape = shape_heard(said)
        check_voxels(*shape)
        pixels = ChildSlices(order, shape, digest)
        volume = volume_heard(said, pixels, order.roots)
    except BaseException:
        children.done_with(child)
        raise
    children.keep(pixels, child)
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
    return children.sharing()


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


def _isolated() -> bool:
    return bool(current_limits().isolated) and can_isolate()
