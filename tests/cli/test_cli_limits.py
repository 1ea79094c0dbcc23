"""One flag changes the limits on what is read, for every command."""

import subprocess
import sys
from pathlib import Path

import honest_files
import pytest

HONEST = honest_files.HONEST["explicit.dcm"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command, run as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "deeppneumonia", *arguments], capture_output=True, text=True
    )


def test_a_limit_that_is_set_by_its_name_holds(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(HONEST())
    manifest = tmp_path.with_suffix(".csv")
    manifest.write_text(
        "path,patient_id,label\n"
        + "".join(f"{tmp_path.name},{patient},{patient}\n" for patient in ("a", "b"))
    )
    out = ["--out", str(tmp_path.with_name("audit")), "--json", "--quiet"]
    asked = ["audit", str(manifest), *out]
    assert "holds more than 2 files" not in run(*asked).stdout
    assert "holds more than 2 files" in run("--limits", "files=2,depth=3", *asked).stdout


@pytest.mark.parametrize("words", ["file=2", "files", "files=many"])
def test_a_limit_that_does_not_exist_is_named_before_the_work(words: str, tmp_path: Path) -> None:
    ran = run("--limits", words, "diagnose", str(tmp_path))
    assert ran.returncode == 3 and len(ran.stderr.strip().splitlines()) == 1
    assert repr(words) in ran.stderr and "memory_ratio" in ran.stderr


def test_help_names_the_flag() -> None:
    assert "--limits" in run("--help").stdout
