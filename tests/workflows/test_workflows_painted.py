"""Painted patients on disk: who is painted, what the manifest says, and that training reads it."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppneumonia.datasets import build_cache, read_manifest
from deeppneumonia.datasets.lesions import LESION, lesion_maps
from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.preprocessing import PreprocessConfig
from deeppneumonia.workflows.painted import paint_manifests
from deeppneumonia.workflows.phantoms import make_cohort
from deeppneumonia.workflows.prepare import PAINTED_SITE


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three healthy people and three ill ones, one slice each: two may be seen, one may not."""
    folder = tmp_path_factory.mktemp("people")
    make_cohort(folder, patients_per_label=3, first_seed=0, form="png", slices=8)
    with (folder / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "bacterial"]
    splits = {"healthy": iter(["train", "train", "test"]), "covid": iter(["train"] * 3)}
    with (folder / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "patient_id", "label", "site", "split"])
        writer.writeheader()
        for row in rows:
            path, label = f"{row['path']}/slice_0004.png", row["label"]
            split = next(splits[label])
            writer.writerow(
                {"path": path, "patient_id": row["patient_id"], "label": label, "site": "hospital",
                 "split": split}
            )  # fmt: skip
    return folder / "split.csv"


@pytest.fixture(scope="module")
def painted(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("painted")
    return paint_manifests([people], out, copies=7, workers=1)


def test_only_healthy_people_of_the_training_part_are_painted(people: Path, painted: Path) -> None:
    healthy = [row for row in read_manifest(people).rows if row.label == "healthy"]
    allowed = {row.patient_id for row in healthy if row.split == "train"}
    rows = read_manifest(painted).rows
    assert len(rows) == 2 * 7
    assert {row.patient_id.split("-", 1)[1].rsplit("-", 1)[0] for row in rows} == allowed
    assert {(row.site, row.split) for row in rows} == {(PAINTED_SITE, "train")}


def test_copies_take_turns_and_the_sick_have_a_mask(painted: Path) -> None:
    rows = read_manifest(painted).rows
    labels = [row.label for row in rows]
    assert [labels.count(name) for name in ("covid", "bacterial", "healthy")] == [10, 2, 2]
    assert all(bool(row.lesion_mask) == (row.label != "healthy") for row in rows)
    for row in (row for row in rows if row.lesion_mask):
        mask = cv2.imread(str(painted.parent / row.lesion_mask), cv2.IMREAD_UNCHANGED)
        assert mask is not None and set(np.unique(mask)) == {0, 255}


def test_a_training_reads_pictures_and_masks_of_it(painted: Path, tmp_path: Path) -> None:
    manifest = read_manifest(painted)
    config = PreprocessConfig(picture_px=64)
    cache = build_cache(manifest, config, tmp_path, workers=1)
    maps = lesion_maps(manifest, cache, config, [PAINTED_SITE], workers=1)
    assert len(cache.kept) >= 10
    assert sum((one == LESION).any() for one in maps.values()) >= 6


def test_a_disease_that_left_nothing_to_see_makes_no_patient(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeppneumonia.phantoms.painted.LEAST_SEEN", 1.0)
    made = read_manifest(paint_manifests([people], tmp_path, copies=7, workers=1))
    assert [row.label for row in made.rows] == ["healthy", "healthy"]
    assert len(list((tmp_path / "slices").iterdir())) == 2


def test_the_same_seed_paints_the_same_pictures(
    people: Path, painted: Path, tmp_path: Path
) -> None:
    again = paint_manifests([people], tmp_path, copies=7, workers=2)
    assert again.read_bytes() == painted.read_bytes()
    for row in read_manifest(painted).rows:
        assert (tmp_path / row.path).read_bytes() == (painted.parent / row.path).read_bytes()


def test_the_manifest_of_people_is_not_replaced(people: Path, tmp_path: Path) -> None:
    theirs = people.read_text()
    (tmp_path / "manifest.csv").write_text(theirs)
    with pytest.raises(ConfigError, match="would be replaced"):
        make_cohort(tmp_path, patients_per_label=1, first_seed=0, form="png")
    with pytest.raises(ConfigError, match="would be replaced"):
        paint_manifests([people], tmp_path, copies=1)
    assert (tmp_path / "manifest.csv").read_text() == theirs


def test_a_manifest_without_healthy_training_people_is_refused(
    people: Path, tmp_path: Path
) -> None:
    lines = people.read_text().splitlines()
    sick = people.parent / "sick.csv"
    sick.write_text("\n".join([lines[0], *(line for line in lines if ",covid," in line)]) + "\n")
    with pytest.raises(ManifestError, match="name a manifest of people, not of phantoms"):
        paint_manifests([sick], tmp_path, copies=1, workers=1)
