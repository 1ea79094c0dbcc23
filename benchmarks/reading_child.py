"""What it costs to read studies in a child process: processor time with the child and without it.

    python benchmarks/reading_child.py

A phantom of 60 slices of 512 x 512 as DICOM, of which 15 are decoded, as a diagnosis does; and the
tags of one header, from a child of their own and from one that many headers share. Processor time
is that of the program, of the process that forks, and of its children.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.readers import prepare_to_read, read_tags, read_volume
from deeppneumonia.readers.process import start_template

TIMES = 10


def read(study: Path) -> None:
    """As `diagnose` reads: the headers of all slices, the pixels of every fourth."""
    volume = read_volume(study)
    for index in range(0, len(volume), 4):
        volume.slice(index)


def tags(files: list[Path]) -> None:
    """As STOW reads the ids of what comes in."""
    read_tags(files, ["StudyInstanceUID"])


def cpu_s(of: int) -> float:
    """Processor time so far, of this process and of that one with its children (proc(5), stat)."""
    time.sleep(0.3)  # a child's time is counted when it has ended
    after_name = Path(f"/proc/{of}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + sum(map(int, after_name[11:15])) / os.sysconf("SC_CLK_TCK")


def measured(name: str, work: Callable[[], None], template: int) -> None:
    work()
    before, start = cpu_s(template), time.perf_counter()
    for _ in range(TIMES):
        work()
    wall_s = (time.perf_counter() - start) / TIMES
    print(f"{name}: {(cpu_s(template) - before) / TIMES:.3f} s processor, {wall_s:.3f} s wall")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cohort(folder, per_label=1, first_seed=7, shape=(60, 512, 512), form=Form.DICOM)
        study = folder / "PHANTOM-covid-7"
        start = time.perf_counter()
        prepare_to_read()
        read_volume(study)
        print(f"first read, with the start of what forks: {time.perf_counter() - start:.2f} s")
        template = start_template()._process.pid
        files = sorted(study.iterdir())
        measured("a study, by a child", lambda: read(study), template)
        measured("tags of one header", lambda: tags(files[:1]), template)
        measured("tags of 60 headers", lambda: tags(files), template)
        os.environ["DEEPPNEUMONIA_LIMITS"] = "isolated=0"
        measured("a study, without a child", lambda: read(study), template)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
