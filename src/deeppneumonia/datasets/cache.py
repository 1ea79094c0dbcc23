"""Every study of a manifest preprocessed once, and what became of each slice of it.

The pictures depend on the content of the files, the preprocessing config and the source of the
readers and the preprocessing: other labels or another split reuse them, anything else makes them
anew. Studies that are refused stay in the index with their reason; those whose refusal may come of
the machine or the moment are tried again by the next call.
"""

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppneumonia import preprocessing, readers
from deeppneumonia.datasets.fingerprint import content_sha256, files_sha256
from deeppneumonia.datasets.manifest import Manifest, ManifestRow
from deeppneumonia.datasets.parallel import over_processes
from deeppneumonia.datasets.picture_store import Outcome, PictureStore, Stored
from deeppneumonia.errors import PreprocessingError, StudyError
from deeppneumonia.files import replacing
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.readers.limits import UnsafeInputError
from deeppneumonia.readers.messages import ChangedStudyError

CACHE_VERSION = 1
"""Counts up whenever the files of a cache change their meaning."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""


class SliceStatus(StrEnum):
    """What became of a slice, or of a whole study."""

    KEPT = "kept"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SliceEntry:
    """One slice of a study, or a whole study that was refused."""

    line: int
    """Line of the manifest."""

    patient_id: str
    label: str
    site: str
    split: str
    slice_index: int | None
    """Position in the volume, 0 at the feet; None for a refused study."""

    array_row: int | None
    """Where the picture stands in `SliceCache.pictures`; None when there is none."""

    status: SliceStatus
    reason: str
    """Why it was dropped or refused; blank for a kept slice."""


@dataclass(frozen=True)
class SliceCache:
    """The pictures of a manifest and the index that says whose they are."""

    pictures: NDArray[np.uint8]
    """(n, side, side), memory-mapped and read-only; may hold pictures of other manifests too."""

    index: tuple[SliceEntry, ...]
    """In the order of the manifest, then of the slices."""

    def entries_of(self, split: str) -> tuple[SliceEntry, ...]:
        """The kept slices of one split."""
        return tuple(entry for entry in self.kept if entry.split == split)

    @property
    def kept(self) -> tuple[SliceEntry, ...]:
        """All slices that have a picture."""
        return tuple(entry for entry in self.index if entry.status is SliceStatus.KEPT)

    def pictures_of(self, entries: Iterable[SliceEntry]) -> NDArray[np.uint8]:
        """The pictures (n, side, side) of those of these slices that have one, in their order."""
        return self.pictures[[entry.array_row for entry in entries if entry.array_row is not None]]

    def coverage(self) -> Mapping[str, dict[str, int]]:
        """How many patients and slices of each label can be used."""
        return {
            label: _coverage_of([entry for entry in self.index if entry.label == label])
            for label in sorted({entry.label for entry in self.index})
        }


def build_cache(
    manifest: Manifest,
    config: PreprocessConfig,
    folder: Path,
    progress: Progress | None = None,
    *,
    workers: int | None = None,
) -> SliceCache:
    """Preprocess every row of a manifest that is not in the cache yet.

    May be killed and called again: what was finished is kept. A cache made with other source code
    or another config is never used: each config has a folder of its own below `folder`, and other
    source code begins it anew. What was refused for want of memory, time, room or a wider limit, is
    damaged, or went away meanwhile, is tried again.

    Args:
        manifest: rows that are single slices (a picture, a DICOM file) or studies.
        config: how pictures are made.
        folder: where caches are kept; made if it does not exist.
        progress: called after each row.
        workers: processes; all cores when None, in this process when 1. More than 1 needs a main
            module that can be imported (`if __name__ == "__main__"`).
    """
    content = {"version": CACHE_VERSION, "config": config.to_dict(), "source": _source_sha256()}
    name = sha256(repr(sorted(config.to_dict().items())).encode()).hexdigest()[:16]
    with PictureStore(folder / name, config.picture_px, content) as store:
        keys = [_key_of(manifest.file(row), row) for row in manifest.rows]
        missing = {
            key: (manifest.file(row), row.lung_masked, config)
            for key, row in zip(keys, manifest.rows, strict=True)
            if key not in store.known
        }
        done = len(manifest.rows) - len(missing)
        tasks = list(missing.values())
        with closing(over_processes(_preprocessed, tasks, workers or os.cpu_count() or 1)) as made:
            for key, (outcome, pictures) in zip(missing, made, strict=True):
                store.append(key, outcome, pictures)
                done += 1
                if progress:
                    progress(done, len(manifest.rows))
        index = tuple(
            entry
            for key, row in zip(keys, manifest.rows, strict=True)
            for entry in _entries_of(row, store.known[key])
        )
        _write_index(index, store.folder / f"index-{manifest.sha256[:16]}.csv")
        return SliceCache(store.pictures(), index)


def _key_of(path: Path, row: ManifestRow) -> str:
    """What a row's pictures depend on: the content of its files and how they are to be read."""
    facts = (path.suffix.lower(), row.lung_masked, content_sha256(path))
    return sha256(repr(facts).encode()).hexdigest()


def _preprocessed(
    task: tuple[Path, bool, PreprocessConfig],
) -> tuple[Outcome, NDArray[np.uint8]]:
    path, lung_masked, config = task
    nothing = np.empty((0, config.picture_px, config.picture_px), np.uint8)
    try:
        with readers.sharing_a_child():  # a fork for each picture would cost a fifth of the time
            volume = replace(readers.read_volume(path), lung_masked=lung_masked)
            found = preprocessing.examine(volume, config)
    except (StudyError, PreprocessingError) as refusal:
        is_away = not path.exists()  # it was there a moment ago: a disk may come back
        return Outcome((), (), str(refusal), is_away or _may_pass(refusal)), nothing
    dropped = tuple((each.slice_index, each.reason) for each in found.dropped)
    blocking = [flag.message for flag in (*volume.flags, *found.flags) if flag.blocks]
    if blocking or not found.kept:
        is_one_slice = len(dropped) == 1 and not found.kept
        reason = dropped[0][1] if is_one_slice else " ".join(blocking)
        return Outcome((), dropped, reason or "no slice is left"), nothing
    kept = tuple(each.slice_index for each in found.kept)
    return Outcome(kept, dropped), np.stack([each.picture for each in found.kept])


def _may_pass(refusal: StudyError | PreprocessingError) -> bool:
    """Whether the same files may be taken by another machine, at another time or within wider
    limits. A refusal without a name of its own counts as one of these: it may stand for a full
    disk, or for a decoder that hides what stopped it. Named ones tell facts about the study.
    """
    hides_its_cause = type(refusal) is StudyError
    return hides_its_cause or isinstance(refusal, UnsafeInputError | ChangedStudyError)


def _entries_of(row: ManifestRow, stored: Stored) -> Iterator[SliceEntry]:
    outcome = stored.outcome
    entry = SliceEntry(
        line=row.line,
        patient_id=row.patient_id,
        label=row.label,
        site=row.site,
        split=row.split,
        slice_index=None,
        array_row=None,
        status=SliceStatus.REFUSED if outcome.refused else SliceStatus.KEPT,
        reason=outcome.refused,
    )
    if outcome.refused:
        yield entry
        return
    slices = [
        replace(entry, slice_index=index, array_row=array_row)
        for array_row, index in enumerate(outcome.kept, start=stored.first)
    ] + [
        replace(entry, slice_index=index, status=SliceStatus.DROPPED, reason=reason)
        for index, reason in outcome.dropped
    ]
    yield from sorted(slices, key=lambda each: each.slice_index or 0)


def _coverage_of(entries: Sequence[SliceEntry]) -> dict[str, int]:
    """In words for a person; what is refused is a study or a single picture."""
    counts = Counter(entry.status for entry in entries)
    answered = {entry.patient_id for entry in entries if entry.status is SliceStatus.KEPT}
    return {
        "patients": len({entry.patient_id for entry in entries}),
        "answered patients": len(answered),
        "slices kept": counts[SliceStatus.KEPT],
        "dropped": counts[SliceStatus.DROPPED],
        "refused": counts[SliceStatus.REFUSED],
    }


def _write_index(index: Sequence[SliceEntry], path: Path) -> None:
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in fields(SliceEntry)])
        writer.writerows(astuple(entry) for entry in index)  # None is written as a blank


def _source_sha256() -> str:
    """Of the code that makes pictures, so that a cache never outlives a change to it."""
    rooms = [Path(str(room.__file__)).parent for room in (readers, preprocessing)]
    package = rooms[0].parent
    return files_sha256(package, (file for room in rooms for file in room.rglob("*.py")))
