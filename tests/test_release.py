"""What ships is what was released, is described, and carries the demo to its reports."""

import subprocess
import sys
from pathlib import Path

import pytest

from deeppneumonia.workflows.releases import (
    RELEASES,
    Release,
    import_checkpoint,
    open_checkpoint,
    survey,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_released_file_is_whole_and_its_card_names_its_hash(release: Release) -> None:
    assert open_checkpoint(release.name).sha256 == release.sha256
    assert release.sha256 in (ROOT / release.card).read_text()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_released_model_says_what_it_was_made_from(release: Release) -> None:
    metadata = open_checkpoint(release.name).metadata
    assert metadata.provenance["patients"]["train"]
    assert metadata.provenance["licence"] == "research, non-commercial"
    assert metadata.metrics["validation"]["patients"] > 0


def test_the_survey_lists_every_release_as_whole() -> None:
    assert [model["name"] for model in survey() if model["verified"] and model["card"]] == [
        release.name for release in RELEASES
    ]


def test_an_imported_model_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPPNEUMONIA_HOME", str(tmp_path / "home"))
    imported = import_checkpoint(RELEASES[0].path)
    assert imported.parent == tmp_path / "home" / "models"
    assert open_checkpoint(imported.stem).sha256 == RELEASES[0].sha256


@pytest.mark.slow
def test_the_demo_answers_three_phantoms_right_and_writes_their_reports(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 of 3 phantoms answered right" in ran.stdout
    for number in (1, 2, 3):
        names = {file.name for file in (tmp_path / f"report_{number}").iterdir()}
        assert {"result.json", "report.html", "report.pdf", "sr.dcm", "key_1.png"} <= names
