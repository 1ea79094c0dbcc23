"""A folder of studies in, a line of JSON for each out: by many processes, shards and machines.

The answers are the only record of what is done. Whoever is stopped, by whatever, gives the same
call again and goes on behind the last whole line.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from deeppneumonia.errors import ConfigError
from deeppneumonia.readers import NoStudyError
from deeppneumonia.workflows.answers import Answers
from deeppneumonia.workflows.study_process import Answer, ModelChoice, StudyReader

FILES = (".zip", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
"""A file with such an end is one study; a folder always is."""

Progress = Callable[[int, int], None]
"""Called with (studies answered, studies in all)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of n, the same ones whoever counts: chosen by the name of a study alone."""

    number: int = 1
    """From 1 to `of`."""

    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"shard {self.number}/{self.of} does not exist")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From `2/8`.

        Raises:
            ConfigError: if there is no such shard.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal()) or not 1 <= int(number) <= int(of):
            raise ConfigError(f"--shard was given {text!r}, it takes i/n with i from 1 to n: 2/8.")
        return cls(int(number), int(of))

    def holds(self, name: str) -> bool:
        """Whether the study of this name is ours; studies that come later move no other."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    @property
    def file_name(self) -> str:
        """Where its answers are written, so that shards may share a folder."""
        return "results.jsonl" if self.of == 1 else f"results-{self.number}-of-{self.of}.jsonl"


@dataclass(frozen=True, slots=True)
class ArchiveOutcome:
    """What a call came to."""

    results: Path
    studies: int
    """In this shard."""

    answered_before: int
    """By earlier calls."""

    counts: dict[str, int]
    """Studies by status, the earlier ones included."""

    seconds: float
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by study, for those without an answer; the next call tries them again."""

    def summary(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        names = ("studies", "answered_before", "counts", "failed")
        facts = {name: getattr(self, name) for name in names}
        return {"results": str(self.results), **facts, "seconds": round(self.seconds, 1)}


def find_studies(folder: Path) -> list[str]:
    """Names of the studies in a folder, sorted: each folder in it, each archive or volume file.

    Raises:
        NoStudyError: if there is none.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if _is_study(entry))
    except FileNotFoundError as error:
        raise NoStudyError(
            "There is nothing at the path that was given: give the folder above the studies."
        ) from error
    except NotADirectoryError:
        names = []
    if not names:
        raise NoStudyError(
            "The path that was given holds no studies, and with several workers or shards every "
            "folder, zip and volume file in it is one: give the folder above the studies, or "
            "leave --workers and --shard out to read a single one."
        )
    return names


def _is_study(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith((".", "__")) and (
        entry.is_dir() or entry.name.lower().endswith(FILES)
    )


def diagnose_archive(
    folder: Path,
    out: Path,
    choice: ModelChoice,
    *,
    model_sha256: str,
    workers: int = 1,
    shard: Shard | None = None,
    on_ray: bool = False,
    progress: Progress | None = None,
) -> ArchiveOutcome:
    """Diagnose every study of a folder that has no answer yet.

    Args:
        folder: see `find_studies`.
        out: gets `results.jsonl`; made if missing. Not `folder` or inside it.
        choice: model, device, and threads of each process.
        model_sha256: of the checkpoint, so that one file never holds answers of two models.
        workers: processes, each with a model of its own.
        shard: our part of the studies; None for all.
        on_ray: have the processes on the Ray cluster that this machine belongs to.
        progress: called after each answer.

    Raises:
        NoStudyError: if there is no study in the folder.
        ConfigError: if the results were to lie among the studies, or Ray is not installed.
        AnswersError: if the results are of another model, damaged, or being written by another.
        NoStudyProcessError: if the processes cannot be started.
    """
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"{out} lies among the studies: name an --out that is not inside them.")
    shard = shard or Shard()
    names = [name for name in find_studies(folder) if shard.holds(name)]
    out.mkdir(parents=True, exist_ok=True)
    began, failed = time.perf_counter(), {}
    with Answers(out / shard.file_name, model_sha256) as answers:
        before = answers.known & set(names)
        done = len(before)
        for answer in _answers_for(
            [str(folder.absolute() / name) for name in names if name not in before],
            choice, workers, on_ray=on_ray,
        ):  # fmt: skip
            name = Path(answer.study).name
            if answer.result is None:
                failed[name] = answer.failure
            else:
                answers.append(name, answer.result)
            done += 1
            if progress:
                progress(done, len(names))
        counts = Counter(answers.statuses.values())
    return ArchiveOutcome(
        results=out / shard.file_name,
        studies=len(names),
        answered_before=len(before),
        counts=dict(sorted(counts.items())),
        seconds=time.perf_counter() - began,
        failed=failed,
    )


def _answers_for(
    studies: list[str], choice: ModelChoice, workers: int, *, on_ray: bool
) -> Iterator[Answer]:
    if on_ray:
        from deeppneumonia.workflows.ray_studies import over_ray

        return over_ray(studies, choice, workers)
    return over_processes(studies, choice, min(workers, max(1, len(studies))))


def over_processes(studies: Iterable[str], choice: ModelChoice, workers: int) -> Iterator[Answer]:
    """An answer for each study, as they come, from so many processes on this machine."""
    readers = [StudyReader(choice) for _ in range(workers)]
    idle: SimpleQueue[StudyReader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def one(study: str) -> Answer:
        reader = idle.get()
        try:
            return reader.answer(study)
        finally:
            idle.put(reader)

    pool = ThreadPoolExecutor(workers)
    asked: set[Future[Answer]] = set()
    try:
        for study in studies:
            asked.add(pool.submit(one, study))
            if len(asked) == 2 * workers:
                done, asked = wait(asked, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while asked:
            done, asked = wait(asked, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for reader in readers:
            reader.close()
