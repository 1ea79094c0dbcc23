"""The cache: complete, honest about refusals, never stale, and whole after a kill."""

import csv
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.datasets import (
    Manifest,
    SliceCache,
    SliceStatus,
    build_cache,
    cache,
    read_manifest,
    split_by_patient,
)
from deeppneumonia.errors import PreprocessingError, StudyError
from deeppneumonia.preprocessing import PreprocessConfig, preprocess
from deeppneumonia.readers import NotAxialError, UnsafeInputError, read_volume
from deeppneumonia.readers.gate import cannot_open
from deeppneumonia.readers.messages import ChangedStudyError

SMALL = PreprocessConfig(picture_px=64)

KILLED_BUILD = """
import os, signal, sys
from pathlib import Path
from deeppneumonia.datasets import build_cache, read_manifest
from deeppneumonia.preprocessing import PreprocessConfig

def kill_in_the_middle(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

manifest = read_manifest(Path(sys.argv[1]))
build_cache(manifest, PreprocessConfig(picture_px=64), Path(sys.argv[2]), kill_in_the_middle,
            workers=1)
"""


def cut_lungs(seed: int) -> np.ndarray:
    """A picture already cut to the lung: two textured ellipses on black."""
    noise = np.random.default_rng(seed).normal(60, 20, (30, 40)).clip(20, 120)
    texture = cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((300, 400), np.uint8)
    for x in (105, 295):
        cv2.ellipse(mask, (x, 150), (90, 140), 0, 0, 360, 1, -1)
    return (texture.clip(15, 160) * mask).astype(np.uint8)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Six patients with a usable slice, one with a black picture, one with a broken file."""
    lines = ["path,patient_id,label,site,lung_masked"]
    for seed in range(6):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), cut_lungs(seed))
        lines.append(f"{seed}.png,p{seed},{'covid' if seed < 3 else 'bacterial'},here,1")
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((300, 400), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf a picture")
    lines += ["black.png,p6,covid,here,1", "broken.png,p7,bacterial,here,1"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return read_manifest(tmp_path / "manifest.csv")


def picture_of(built: SliceCache, line: int) -> np.ndarray:
    (row,) = [entry.array_row for entry in built.index if entry.line == line]
    return built.pictures[row]


def folders_of(built: Path) -> list[Path]:
    return [folder for folder in built.iterdir() if folder.is_dir()]


def test_the_cached_picture_is_the_one_that_preprocessing_makes(
    manifest: Manifest, tmp_path: Path
) -> None:
    built = build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    volume = replace(read_volume(tmp_path / "2.png"), lung_masked=True)
    (expected,) = preprocess(volume, SMALL)
    np.testing.assert_array_equal(picture_of(built, line=4), expected.picture)


def test_refusals_stay_in_the_index_with_their_reason(manifest: Manifest, tmp_path: Path) -> None:
    built = build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    refused = [entry for entry in built.index if entry.status is SliceStatus.REFUSED]
    assert [(entry.line, entry.patient_id) for entry in refused] == [(8, "p6"), (9, "p7")]
    assert "no lung" in refused[0].reason
    assert "damaged" in refused[1].reason
    assert len(built.kept) == 6
    assert built.coverage()["covid"] == {
        "patients": 4, "answered patients": 3, "slices kept": 3, "dropped": 0, "refused": 1,
    }  # fmt: skip


@pytest.mark.parametrize("limits", ["file_bytes=9", "picture_pixels=99"])
def test_who_was_refused_by_a_limit_is_tried_again_when_it_is_raised(
    limits: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPPNEUMONIA_LIMITS", limits)
    refused = build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    assert {entry.status for entry in refused.index} == {SliceStatus.REFUSED}
    assert all(entry.reason for entry in refused.index)
    monkeypatch.delenv("DEEPPNEUMONIA_LIMITS")
    assert len(build_cache(manifest, SMALL, tmp_path / "cache", workers=1).kept) == 6


@pytest.mark.parametrize(
    ("refusal", "may_pass"),
    [
        (ChangedStudyError(), True),
        (cannot_open(OSError(5, "Input/output error")), True),
        (UnsafeInputError("no memory left"), True),
        (NotAxialError(angle_deg=40.0), False),
        (PreprocessingError("no lungs"), False),
    ],
    ids=["changed meanwhile", "cannot be opened", "a limit", "not axial", "no lungs"],
)
def test_what_a_study_is_does_not_pass_and_what_befell_it_may(
    refusal: StudyError | PreprocessingError, may_pass: bool
) -> None:
    assert cache._may_pass(refusal) is may_pass


def test_the_index_lies_beside_the_pictures_as_csv(manifest: Manifest, tmp_path: Path) -> None:
    built = build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    (path,) = (tmp_path / "cache").glob("*/index-*.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(built.index) == 8
    assert rows[0] | {"array_row": ""} == {
        "line": "2",
        "patient_id": "p0",
        "label": "covid",
        "site": "here",
        "split": "",
        "slice_index": "0",
        "array_row": "",
        "status": "kept",
        "reason": "",
    }
    assert (rows[7]["status"], rows[7]["slice_index"], rows[7]["array_row"]) == ("refused", "", "")


def test_a_study_gives_its_slices_and_names_those_it_drops(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    for number in range(3):
        picture = cut_lungs(number) if number else np.zeros((300, 400), np.uint8)
        cv2.imwrite(str(tmp_path / "study" / f"{number}.png"), picture)
    (tmp_path / "manifest.csv").write_text("path,patient_id,label,lung_masked\nstudy,p,covid,1\n")
    built = build_cache(
        read_manifest(tmp_path / "manifest.csv"), SMALL, tmp_path / "cache", workers=1
    )
    assert [(entry.slice_index, entry.status.value) for entry in built.index] == [
        (0, "dropped"),
        (1, "kept"),
        (2, "kept"),
    ]
    assert built.index[0].reason


def test_two_processes_make_what_one_makes(manifest: Manifest, tmp_path: Path) -> None:
    one = build_cache(manifest, SMALL, tmp_path / "one", workers=1)
    two = build_cache(manifest, SMALL, tmp_path / "two", workers=2)
    assert one.index == two.index
    np.testing.assert_array_equal(one.pictures, two.pictures)


def test_progress_counts_the_rows(manifest: Manifest, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    build_cache(
        manifest,
        SMALL,
        tmp_path / "cache",
        lambda done, total: told.append((done, total)),
        workers=1,
    )
    assert told == [(done, 8) for done in range(1, 9)]


def test_a_build_that_was_killed_goes_on_where_it_was(manifest: Manifest, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "cache")]
    killed = subprocess.run([sys.executable, "-c", KILLED_BUILD, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    told: list[int] = []
    resumed = build_cache(
        manifest, SMALL, tmp_path / "cache", lambda done, _: told.append(done), workers=1
    )
    assert told == [4, 5, 6, 7, 8]
    unbroken = build_cache(manifest, SMALL, tmp_path / "other", workers=1)
    assert resumed.index == unbroken.index
    np.testing.assert_array_equal(resumed.pictures, unbroken.pictures)


def test_a_study_that_was_away_for_a_while_is_not_refused_for_ever(
    manifest: Manifest, tmp_path: Path
) -> None:
    last, elsewhere = manifest.file(manifest.rows[5]), tmp_path / "elsewhere"

    def take_it_away(done: int, _: int) -> None:
        if done == 1:
            last.rename(elsewhere)

    folder = tmp_path / "cache"
    without = build_cache(manifest, SMALL, folder, take_it_away, workers=1)
    elsewhere.rename(last)
    assert without.index[5].status == "refused"
    assert build_cache(manifest, SMALL, folder, workers=1).index[5].status == "kept"


def test_another_split_or_label_reuses_the_pictures(manifest: Manifest, tmp_path: Path) -> None:
    build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    told: list[int] = []
    again = build_cache(
        split_by_patient(manifest, seed=0),
        SMALL,
        tmp_path / "cache",
        lambda done, _: told.append(done),
        workers=1,
    )
    assert told == [8]  # the damaged picture alone: what stopped its decoder may have passed
    assert {entry.split for entry in again.index} == {"train", "validation", "test"}
    assert sum(len(again.entries_of(part)) for part in ("train", "validation", "test")) == 6


def test_a_picture_that_changed_is_cut_anew(manifest: Manifest, tmp_path: Path) -> None:
    before = picture_of(build_cache(manifest, SMALL, tmp_path / "cache", workers=1), line=2)
    cv2.imwrite(str(tmp_path / "0.png"), cut_lungs(99))
    after = picture_of(build_cache(manifest, SMALL, tmp_path / "cache", workers=1), line=2)
    assert (before != after).any()


def test_another_config_has_pictures_of_its_own(manifest: Manifest, tmp_path: Path) -> None:
    build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    larger = build_cache(manifest, PreprocessConfig(picture_px=96), tmp_path / "cache", workers=1)
    assert larger.pictures.shape == (6, 96, 96)
    assert len(folders_of(tmp_path / "cache")) == 2


def test_a_cache_of_another_version_is_made_anew(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(manifest, SMALL, tmp_path / "cache", workers=1)
    monkeypatch.setattr(cache, "CACHE_VERSION", cache.CACHE_VERSION + 1)
    told: list[int] = []
    build_cache(manifest, SMALL, tmp_path / "cache", lambda done, _: told.append(done), workers=1)
    assert len(told) == 8


def test_a_manifest_of_nothing_but_refusals_has_no_pictures(
    manifest: Manifest, tmp_path: Path
) -> None:
    refused = manifest.with_rows(manifest.rows[6:])
    built = build_cache(refused, SMALL, tmp_path / "cache", workers=1)
    assert built.pictures.shape == (0, 64, 64)
    assert not built.kept
