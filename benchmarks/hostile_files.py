"""Does any file break the readers? Every attack of tests/readers/hostile, and pydicom's own files.

    python benchmarks/hostile_files.py [--more FOLDER ...] [--out hostile_files.csv]

Each file is read as a study of its own, and its first, middle and last slices are decoded. An
outcome is typed when it is a volume or a StudyError. Seconds are those of the caller, CPU seconds
those of the reading process; memory is how much that process and the caller grew, each counted
from its resident size when the file was opened. Beside each file lie a canary and an empty folder
for temporary files, looked at after each. A file that takes longer than it may is read again up
to twice, because the machine may be busy with other work; its fastest reading counts.

Ends with exit code 1 unless there are 2,000 files or more and every one keeps the bar.
"""

import argparse
import csv
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pydicom

from deeppneumonia.errors import StudyError
from deeppneumonia.readers import children, process, read_volume

HOSTILE = Path(__file__).parents[1] / "tests" / "readers" / "hostile"
EVIL = Path("/tmp/evil")
"""Where many of the archives would like to write."""

LIMIT_S, LIMIT_MB, FEWEST_FILES = 5.0, 512.0, 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    family: str
    file: str
    outcome: str
    """`read`, the name of the refusal, or `UNTYPED` with the name of the error."""

    seconds: float
    cpu_s: float
    memory_mb: float
    touched: bool
    """Whether anything else on the disk changed."""

    @property
    def keeps_the_bar(self) -> bool:
        """Typed, foreseen, quick, small, and nothing else touched."""
        typed = not self.outcome.startswith(("UNTYPED", "Unforeseen"))
        return typed and self.seconds <= LIMIT_S and self.memory_mb <= LIMIT_MB and not self.touched


class WatchedChild(process.ChildProcess):
    """A child whose memory is looked at every few milliseconds."""

    most_kb = 0
    most_cpu_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        about = Path(f"/proc/self/fdinfo/{self._handle}").read_text()
        pid = about.split("Pid:")[1].split()[0]
        self._status = Path(f"/proc/{pid}/status")
        self._first_kb = self._resident_kb()
        threading.Thread(target=self._watch, daemon=True).start()

    def _resident_kb(self) -> int:
        return int(self._status.read_text().split("VmHWM:")[1].split()[0])

    def _cpu_s(self) -> float:
        after_name = self._status.with_name("stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")

    def look(self) -> None:
        """Remember the most so far; a child that has ended has nothing more to show."""
        with suppress(OSError, IndexError):
            grown = self._resident_kb() - self._first_kb
            WatchedChild.most_kb = max(WatchedChild.most_kb, grown)
            WatchedChild.most_cpu_s = max(WatchedChild.most_cpu_s, self._cpu_s())

    def close(self) -> None:
        if self._open:
            self.look()
        super().close()

    def _watch(self) -> None:
        while self._open:
            self.look()
            time.sleep(0.003)


def attacks() -> Iterator[tuple[str, str, bytes]]:
    """Family, file name and content of every attack."""
    sys.path.insert(0, str(HOSTILE))
    import hostile_files as made

    for family in made.FAMILIES:
        for name, make in family():
            yield family.__name__, name, make()


def found(folders: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """The files below some folders."""
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink() and file.suffix not in (".py", ".pyc"):
                yield folder.name, str(file.relative_to(folder)), file.read_bytes()


def outcome_of(family: str, name: str, content: bytes, place: Path) -> Outcome:
    """What becomes of one file; the fastest of up to three readings where one is too slow."""
    outcome = try_file(family, name, content, place)
    for _ in range(2):
        if outcome.seconds <= LIMIT_S:
            break
        print(f"{name} took {outcome.seconds:.1f} s at a load of {os.getloadavg()[0]:.1f}: again")
        outcome = min(outcome, try_file(family, name, content, place), key=lambda o: o.seconds)
    return outcome


def grown_mb(since_kb: int) -> float:
    """By how much this process was at most larger than it was then."""
    return (own_kb("VmHWM") - since_kb) / 1024


def own_kb(name: str) -> int:
    """A line of this process's status (proc(5))."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


def try_file(family: str, name: str, content: bytes, place: Path) -> Outcome:
    """Read one file as a user would, in a folder of its own."""
    (place / "study").mkdir(exist_ok=True)
    path = place / "study" / Path(name).name
    path.write_bytes(content)
    before = tree_of(place)
    WatchedChild.most_kb, WatchedChild.most_cpu_s = 0, 0.0
    Path("/proc/self/clear_refs").write_text("5")  # the peak of this process begins here
    own_at_first_kb = own_kb("VmRSS")
    start = time.perf_counter()
    outcome = "read"
    try:
        volume = read_volume(path)
        for index in sorted({0, len(volume) // 2, len(volume) - 1}):
            volume.slice(index)
        del volume
    except StudyError as error:
        outcome = type(error).__name__
    except Exception as error:
        outcome = f"UNTYPED {type(error).__name__}"
    seconds = time.perf_counter() - start
    touched = tree_of(place) != before
    path.unlink()
    memory_mb = WatchedChild.most_kb / 1024 + grown_mb(own_at_first_kb)
    return Outcome(family, name, outcome, seconds, WatchedChild.most_cpu_s, memory_mb, touched)


def tree_of(place: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder; files by size and time of change."""
    elsewhere = {str(EVIL): (0, 0)} if EVIL.exists() else {}
    return elsewhere | {
        str(entry): (0, 0) if entry.is_dir() else (entry.stat().st_size, entry.stat().st_mtime_ns)
        for entry in place.rglob("*")
    }


def table(outcomes: list[Outcome]) -> str:
    """Markdown, one family a line."""
    lines = [
        "| family | files | read | refused | untyped | s, most | CPU s, most | MB, most | touched |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for family in [*dict.fromkeys(one.family for one in outcomes), "all"]:
        group = [one for one in outcomes if family in (one.family, "all")]
        read = sum(one.outcome == "read" for one in group)
        untyped = sum(one.outcome.startswith("UNTYPED") for one in group)
        lines.append(
            f"| {family} | {len(group)} | {read} | {len(group) - read - untyped} | {untyped} "
            f"| {max(one.seconds for one in group):.2f} "
            f"| {max(one.cpu_s for one in group):.2f} "
            f"| {max(one.memory_mb for one in group):.0f} | {sum(one.touched for one in group)} |"
        )
    return "\n".join(lines)


def try_all(folders: list[Path]) -> list[Outcome]:
    """Every file, in a place where nothing else is."""
    children.ChildProcess = WatchedChild  # type: ignore[misc]
    own = Path(pydicom.__file__).parent / "data"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "canary").write_text("untouched")
        (place / "tmp").mkdir()
        tempfile.tempdir = str(place / "tmp")
        files = itertools.chain(found([own, *folders]), attacks())
        return [outcome_of(*file, place) for file in files]


def write_csv(outcomes: list[Outcome], path: Path) -> None:
    """A line for each file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(outcomes[0])))
        writer.writeheader()
        writer.writerows(asdict(one) for one in outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="Folders of further files")
    parser.add_argument("--out", type=Path, help="CSV with a line for each file")
    options = parser.parse_args()
    outcomes = try_all(options.more)
    if options.out:
        write_csv(outcomes, options.out)
    print(table(outcomes))
    print(Counter(one.outcome for one in outcomes).most_common())
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    beyond = [one for one in outcomes if not one.keeps_the_bar]
    for one in beyond:
        print(one)
    if beyond or len(outcomes) < FEWEST_FILES:
        sys.exit(f"{len(beyond)} of {len(outcomes)} files break the bar.")
    print(f"All {len(outcomes)} files: typed, at most {LIMIT_S:.0f} s and {LIMIT_MB:.0f} MB.")


if __name__ == "__main__":
    main()
