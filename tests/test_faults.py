"""Full disks, kills, two runs at once, clocks that jump: no half answer is ever taken for one."""

import ast
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import honest_files
import pytest

import deeppneumonia
from deeppneumonia.domain import ModelIdentity
from deeppneumonia.files import replacing, write_together
from deeppneumonia.readers import read_volume
from deeppneumonia.reports import ReportContext
from deeppneumonia.reports.dicom.source import SourceChangedError, open_source

NAMES = ("result.json", "report.html", "report.pdf", "key_1.png", "sr.dcm")
WRITER = """
import sys
from pathlib import Path
from deeppneumonia.files import write_together
names, tags = sys.argv[2].split(","), sys.argv[3].split(",")
print("ready", flush=True)
for turn in range(int(sys.argv[4])):
    tag = tags[turn % len(tags)]
    contents = {name: tag.encode() * 2000 for name in names[: 3 + turn % 3]}
    write_together(Path(sys.argv[1]), contents, stale=names)
"""


def writer(folder: Path, tags: str, turns: int) -> "subprocess.Popen[str]":
    """A program that writes answer after answer, each with a letter of its own."""
    command = [sys.executable, "-c", WRITER, str(folder), ",".join(NAMES), tags, str(turns)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None and started.stdout.readline() == "ready\n"
    return started


def letters(folder: Path) -> dict[str, str]:
    """The letter in each file of an answer; a half one fails here."""
    found = {}
    for name in NAMES:
        if (folder / name).exists():
            content = (folder / name).read_text()
            assert len(content) == 2000 and len(set(content)) == 1, f"{name} is half written"
            found[name] = content[0]
    return found


def test_killed_at_any_instant_it_leaves_a_whole_answer_or_none(tmp_path: Path) -> None:
    chance = random.Random(0)
    answers = 0
    for _ in range(8):
        running = writer(tmp_path, "a,b", 100_000)
        time.sleep(chance.uniform(0.0, 0.08))
        running.kill()
        running.wait()
        found = letters(tmp_path)
        if "result.json" in found:
            answers += 1
            assert len(found) >= 3 and len(set(found.values())) == 1, found
    assert answers  # else nothing was tried
    write_together(tmp_path, {"result.json": b"c" * 2000}, stale=NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]  # nothing left behind


def test_two_runs_on_one_output_leave_the_whole_answer_of_one(tmp_path: Path) -> None:
    both = [writer(tmp_path, tag, 60) for tag in ("a", "b")]
    assert [running.wait(60) for running in both] == [0, 0]
    found = letters(tmp_path)
    assert len(found) == 3 + 59 % 3 and len(set(found.values())) == 1, found


@pytest.mark.parametrize("write", ["one file", "several"])
def test_a_full_disk_leaves_what_was_there(write: str, tmp_path: Path) -> None:
    write_together(tmp_path, {"result.json": b"old", "report.pdf": b"old"})

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    program = (
        "import sys\nfrom pathlib import Path\n"
        "from deeppneumonia.files import write_together, write_whole\n"
        "place, content = Path(sys.argv[1]), bytes(20_000)\n"
        "if sys.argv[2] == 'one file': write_whole(place / 'result.json', content)\n"
        "else: write_together(place, {'result.json': b'new', 'report.pdf': content})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), write],
        capture_output=True,
        text=True,
        preexec_fn=fill,
    )
    assert ran.returncode == 1 and "File too large" in ran.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        "result.json": b"old",
        "report.pdf": b"old",
    }


def test_two_programs_never_share_an_unfinished_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first:
        first.write_text("1")
        with replacing(tmp_path / "a") as second:
            second.write_text("2")
            assert first != second and first.read_text() == "1"
    assert (tmp_path / "a").read_text() == "1"


def diagnose(*arguments: str, prepare: Callable[[], None] | None = None) -> "tuple[int, list[str]]":
    ran = subprocess.run(
        [sys.executable, "-m", "deeppneumonia", "diagnose", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=prepare,
    )
    return ran.returncode, ran.stderr.strip().splitlines()


def unwritable(tmp_path: Path) -> Path:
    """A place that nobody can write to, root neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out"


def test_an_output_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    code, lines = diagnose(str(tmp_path), "--out", str(unwritable(tmp_path)))
    assert code == 1 and len(lines) == 1 and "choose another folder with --out" in lines[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_output_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    code, lines = diagnose(str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 1 and len(lines) == 1 and "choose another folder with --out" in lines[0]


def test_no_duration_is_taken_from_a_clock_that_can_jump() -> None:
    """Durations come from perf_counter or monotonic; the wall clock only dates things."""
    package = Path(deeppneumonia.__file__).parent
    for file in package.rglob("*.py"):
        if "server" in file.parts:  # its records hold times of day, which are dates
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("time.time", "time"), file


def test_files_from_the_future_are_read(tmp_path: Path) -> None:
    write_together(tmp_path, {"result.json": b"old"})
    os.utime(tmp_path / "result.json", (2**32, 2**32))
    write_together(tmp_path, {"result.json": b"new"})
    assert (tmp_path / "result.json").read_bytes() == b"new"


def test_no_answer_is_filed_under_files_that_came_later(tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(honest_files.dicom_bytes(honest_files.ct()))
    context = ReportContext(
        version="1", created=datetime.now().astimezone(), volume=read_volume(file), detail_level=0.8
    )
    model = ModelIdentity("resnet18", "0" * 64)
    assert open_source(context, model).is_identified
    file.write_bytes(honest_files.dicom_bytes(honest_files.ct(SeriesInstanceUID="1.2.9")))
    with pytest.raises(SourceChangedError, match="now hold another series"):
        open_source(context, model)
