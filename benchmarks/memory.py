"""Most memory that `diagnose` and the processes under it take at a time, for a long study.

    python benchmarks/memory.py --slices 2000

Pages that processes share are divided among them (PSS, proc_pid_smaps(5)), so that the sum counts
each page once.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed_studies import make_studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--slices", type=int, nargs="+", default=[300, 2000])
    place = Path(tempfile.gettempdir()) / "deeppneumonia-speed"
    parser.add_argument("--studies", type=Path, default=place, help="made there if missing")
    given = parser.parse_args()
    print("| slices of 512 x 512 | | most MB at a time | s |\n|---|---|---|---|")
    for slices in given.slices:
        for name, study in make_studies(given.studies, slices).items():
            most, seconds = most_bytes([sys.executable, "-m", "deeppneumonia", "diagnose", study])
            print(f"| {slices} | {name} | {most / 1e6:.0f} | {seconds:.1f} |", flush=True)


def most_bytes(command: list[str | Path]) -> tuple[int, float]:
    """The most that a command and all below it held, looked at every 30 ms; and its seconds."""
    began, most = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(map(bytes_of, family(process.pid))))
            time.sleep(0.03)
    if process.returncode:
        sys.exit(f"diagnose ended with {process.returncode}")
    return most, time.perf_counter() - began


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:  # it has ended since
        return []
    return [pid, *(below for child in children for below in family(child))]


def bytes_of(pid: int) -> int:
    """Proportional set size; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
