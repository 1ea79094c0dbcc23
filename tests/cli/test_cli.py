"""The command line as a person meets it: help, exit codes, data on stdout, remarks on stderr."""

import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deeppneumonia.cli import app

COMMANDS = (
    "diagnose", "prepare", "split", "train", "evaluate", "phantom", "models", "doctor", "info",
)  # fmt: skip
STOPPED = (
    "Stopped. Nothing is half-written: the same command goes on from what it keeps, or begins "
    "anew.\n"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deeppneumonia", *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_how_to_use_it(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["diagnose", "--help"]])
def test_help_and_info_load_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; sys.argv = ['deeppneumonia', *sys.argv[1:]]\n"
        "from deeppneumonia.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert ran.stderr.strip().endswith("False"), ran.stderr


def test_info_is_data_when_asked() -> None:
    shown = CliRunner().invoke(app, ["info", "--json"])
    assert json.loads(shown.stdout)["intended_use"] == "research software, not a medical device"


def test_the_version_is_told_where_people_ask_for_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == version("deeppneumonia")


def test_a_wrong_option_is_a_usage_error() -> None:
    assert run("diagnose", "--colour", "red").returncode == 2


def test_a_missing_checkpoint_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    ran = run("diagnose", str(tmp_path), "--checkpoint", str(tmp_path / "none.safetensors"))
    assert ran.returncode == 3
    assert ran.stdout == "" and len(ran.stderr.strip().splitlines()) == 1


def test_a_manifest_line_that_points_nowhere_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,patient_id,label\nhere.png,p1,covid\n")
    ran = run("split", str(manifest), "--out", str(tmp_path / "split.csv"))
    assert ran.returncode == 3
    assert "2" in ran.stderr and not (tmp_path / "split.csv").exists()


def test_a_manifest_without_patient_ids_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,label\na.png,covid\n")
    ran = run("split", str(manifest), "--out", str(tmp_path / "split.csv"))
    assert ran.returncode == 3 and "patient_id" in ran.stderr


def test_a_renaming_without_equals_sign_is_explained(tmp_path: Path) -> None:
    ran = run("evaluate", "-m", "m.csv", "-o", str(tmp_path / "out"), "--map", "cap")
    assert ran.returncode == 3 and "old=new" in ran.stderr


def test_a_split_of_an_old_hospital_that_is_not_named_is_a_usage_error(tmp_path: Path) -> None:
    shown = CliRunner().invoke(
        app, ["finetune", "m.csv", "-o", str(tmp_path / "out"), "--old-split", "test"]
    )
    assert shown.exit_code == 2 and "--old-site" in shown.output


def test_a_place_that_cannot_be_written_to_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("phantom", "--out", str(tmp_path / "file" / "phantoms"))
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1 and "Not a directory" in ran.stderr


@pytest.mark.parametrize(
    ("module", "number", "code", "words"),
    [
        ("numpy", signal.SIGINT, 130, ""),
        ("numpy", signal.SIGTERM, 143, ""),
        ("deeppneumonia.workflows.prepare", signal.SIGINT, 130, STOPPED),
        ("deeppneumonia.workflows.prepare", signal.SIGTERM, 143, STOPPED),
    ],
    ids=["Ctrl-C in the first second", "SIGTERM then", "Ctrl-C at work", "SIGTERM at work"],
)
def test_who_stops_a_command_sees_no_traceback(
    module: str, number: int, code: int, words: str, tmp_path: Path
) -> None:
    program = (
        "import os, runpy, signal, sys\n"
        # Whatever starts the tests in the background may have had Ctrl-C ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Stopping:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Stopping())\n"
        "runpy.run_module('deeppneumonia', run_name='__main__', alter_sys=True)\n"
    )
    command = [sys.executable, "-c", program, "split", str(tmp_path / "m.csv"), "-o", "n.csv"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (code, words)


def test_reports_of_an_earlier_call_with_more_studies_are_named(
    checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "no-study").mkdir()
    (tmp_path / "out" / "2024").mkdir(parents=True)  # somebody's own
    for count, words in ((2, ""), (1, "also holds 001, 002: reports of an earlier call")):
        studies = [str(tmp_path / "no-study")] * count
        shown = CliRunner().invoke(
            app, ["diagnose", *studies, "-c", str(checkpoint), "-o", str(tmp_path / "out")]
        )
        assert shown.exit_code == 3  # refused, with a report
        assert words in shown.stderr and ("also holds" in shown.stderr) == bool(words)
