"""A thousand phantom studies: throughput by worker processes, and every study once after a kill.

    python benchmarks/many_studies.py --out many

Twenty-four small phantoms are written under a thousand study UIDs. The network is an untrained
ResNet-18 at 128 px, the cheapest there is: its answers mean nothing, the way through the house is
that of any other.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pydicom
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.preprocessing import PreprocessConfig

SHAPE = (12, 128, 128)
PHANTOMS = 24
COMMAND = (sys.executable, "-m", "deeppneumonia", "diagnose")


def cheap_checkpoint(path: Path) -> Path:
    """An untrained ResNet-18 at 128 px."""
    torch.manual_seed(0)
    classes = ClassSet(("covid", "bacterial", "healthy"))
    preprocessing = PreprocessConfig(picture_px=128)
    metadata = CheckpointMetadata(model="resnet18", classes=classes, preprocessing=preprocessing)
    save_checkpoint(path, create_model("resnet18", 3), metadata)
    return path


def write_studies(folder: Path, count: int) -> None:
    """So many studies as DICOM folders, each with UIDs of its own."""
    models = folder.with_name("phantoms")
    write_cohort(models, per_label=PHANTOMS // 3, shape=SHAPE, form=Form.DICOM)
    phantoms = sorted(models.glob("PHANTOM-*"))  # their lesions lie in a folder beside them
    slices = [[pydicom.dcmread(file) for file in sorted(one.iterdir())] for one in phantoms]
    for number in range(count):
        study = folder / f"study-{number:04d}"
        study.mkdir(parents=True)
        for index, dataset in enumerate(slices[number % PHANTOMS]):
            dataset.StudyInstanceUID = f"2.25.{10**20 + number}"
            dataset.SeriesInstanceUID = f"2.25.{10**20 + number}.1"
            dataset.SOPInstanceUID = f"2.25.{10**20 + number}.1.{index}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(study / f"{index}.dcm")
    shutil.rmtree(models)


def diagnosed(archive: Path, out: Path, *options: str) -> dict[str, object]:
    """The summary of one call of the command."""
    command = [*COMMAND, str(archive), "--out", str(out), "--json", "--quiet", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(ran.stdout))


def with_a_kill(archive: Path, out: Path, *options: str) -> float:
    """Seconds of a call in which one of the processes is killed after a hundred answers."""
    began = time.perf_counter()
    command = [*COMMAND, str(archive), "--out", str(out), "--quiet", *options]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    results = out / "results.jsonl"
    while running.poll() is None:
        time.sleep(0.2)
        if results.exists() and results.read_bytes().count(b"\n") >= 100:
            os.kill(readers_below(running.pid)[0], signal.SIGKILL)
            break
    assert running.wait() == 0
    return time.perf_counter() - began


def readers_below(pid: int) -> list[int]:
    """Process ids of a process's children that read studies."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [
        one for one in children if b"study_process" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


def one_at_a_time(archive: Path, checkpoint: Path, studies: int) -> float:
    """Seconds a study when each has a process of its own, as a script over `diagnose` would."""
    began = time.perf_counter()
    for study in sorted(archive.iterdir())[:studies]:
        command = [*COMMAND, str(study), "-c", str(checkpoint), "--json"]
        subprocess.run(command, capture_output=True, check=True)
    return (time.perf_counter() - began) / studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist")
    parser.add_argument("--studies", type=int, default=1000)
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    archive, checkpoint = given.out / "archive", cheap_checkpoint(given.out / "cheap.safetensors")
    write_studies(archive, given.studies)
    model = ("-c", str(checkpoint), "--device", "cpu")
    print("| | studies | s | studies/s |\n|---|---|---|---|")
    alone_s = one_at_a_time(archive, checkpoint, 3)
    print(f"| a process for each study | 3 | {3 * alone_s:.1f} | {1 / alone_s:.2f} |", flush=True)
    for number, workers in enumerate((1, 2, 1, 2), start=1):
        part = ("--workers", str(workers), "--shard", f"{number}/16")
        found = diagnosed(archive, given.out / "parts", *model, *part)
        studies, seconds = int(str(found["studies"])), float(str(found["seconds"]))
        print(f"| {workers} worker(s) | {studies} | {seconds:.1f} | {studies / seconds:.2f} |")
    seconds = with_a_kill(archive, given.out / "whole", *model, "--workers", "2")
    print(f"| 2 workers, one killed | {given.studies} | {seconds:.1f} "
          f"| {given.studies / seconds:.2f} |")  # fmt: skip
    with (given.out / "whole" / "results.jsonl").open() as lines:
        answers = [json.loads(line) for line in lines]
    times = Counter(answer["study"] for answer in answers)
    once = sum(count == 1 for count in times.values())
    print(f"\nOf {given.studies} studies {once} were answered once, "
          f"{given.studies - len(times)} never, {len(times) - once} more than once; "
          f"{dict(Counter(answer['status'] for answer in answers))}.")  # fmt: skip


if __name__ == "__main__":
    main()
