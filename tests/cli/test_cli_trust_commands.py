"""`audit` and `finetune` as a person meets them, and phantoms made to be audited."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from deeppneumonia.cli import app
from deeppneumonia.errors import ManifestError


def pictures(folder: Path) -> Path:
    """Four patients; covid in a window that starts at 60, healthy in one that starts at 20."""
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,label"]
    for number in range(4):
        floor = 60 if number % 2 else 20
        cv2.imwrite(
            str(folder / f"{number}.png"), rng.integers(floor, 255, (64, 64), dtype=np.uint8)
        )
        lines.append(f"{number}.png,p{number},{'covid' if number % 2 else 'healthy'}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.mark.parametrize("command", ["audit", "finetune"])
def test_the_command_teaches_how_to_use_it(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: deeppneumonia {command} hospital/manifest.csv --out" in shown.output


def test_audit_prints_a_table_and_what_was_not_done(tmp_path: Path) -> None:
    manifest = pictures(tmp_path)
    shown = CliRunner().invoke(app, ["audit", str(manifest), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "guessed from" in shown.stdout and "grey scale" in shown.stdout
    assert "scanner tags: not done: no row has scanner tags" in shown.stdout
    assert "audit.html" in shown.stderr and "audit.html" not in shown.stdout


def test_audit_says_how_many_rows_it_could_not_look_at(tmp_path: Path) -> None:
    manifest = pictures(tmp_path)
    (tmp_path / "0.png").write_bytes(b"no picture")
    shown = CliRunner().invoke(app, ["audit", str(manifest), "--out", str(tmp_path / "out")])
    assert "no guess: 1 of 4; line 2: No CT study was found" in shown.stdout


def test_evaluate_says_who_got_no_answer_and_why(checkpoint: Path, tmp_path: Path) -> None:
    manifest = pictures(tmp_path)
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64), np.uint8))
    arguments = ["evaluate", "-m", str(manifest), "-c", str(checkpoint), "-o", str(tmp_path / "o")]
    shown = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert shown.exit_code == 0, shown.output
    assert "4 of 4 patients got no answer and are in no score" in shown.stderr
    assert "4 times: no lung found" in shown.stderr


def test_audit_gives_json_alone_on_stdout(tmp_path: Path) -> None:
    arguments = ["audit", str(pictures(tmp_path)), "--out", str(tmp_path / "out"), "--json"]
    shown = CliRunner().invoke(app, arguments)
    found = json.loads(shown.stdout)
    assert found["patients"] == {"covid": 2, "healthy": 2}
    assert found == json.loads((tmp_path / "out" / "audit.json").read_text())


@pytest.mark.parametrize("sizes", ["five", "1,5"])
def test_sizes_that_are_none_are_a_usage_error(tmp_path: Path, sizes: str) -> None:
    arguments = ["finetune", str(pictures(tmp_path)), "--out", str(tmp_path), "--sizes", sizes]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_manifest_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    for command in ("audit", "finetune"):
        arguments = [command, str(tmp_path / "none.csv"), "--out", str(out)]
        assert isinstance(CliRunner().invoke(app, arguments).exception, ManifestError)
    assert not out.exists()


@pytest.mark.slow
def test_phantoms_can_have_a_scanner_for_each_label(tmp_path: Path) -> None:
    """The covid phantom's scanner is the loudest of the three only where labels have scanners."""
    arguments = ["phantom", "--out", str(tmp_path), "--form", "png", "--source-confound"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    with (tmp_path / "manifest.csv").open() as file:
        noise = {
            row["label"]: shoulder_noise(tmp_path / row["path"]) for row in csv.DictReader(file)
        }
    assert noise["covid"] > 1.2 * noise["healthy"] > 1.2 * 1.2 * noise["bacterial"]


def shoulder_noise(folder: Path) -> float:
    """Spread of the differences of neighbours in soft tissue of the highest slice."""
    top = cv2.imread(str(sorted(folder.iterdir())[-1]), cv2.IMREAD_GRAYSCALE)
    return float(np.diff(top[200:280, 80:200].astype(float)).std())
