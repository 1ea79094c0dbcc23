"""Lesion masks on the network's pictures: in place, unknown beside the lung, moved with it."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from deeppneumonia.datasets import (
    AugmentConfig,
    Manifest,
    SliceCache,
    SliceLoader,
    build_cache,
    read_manifest,
)
from deeppneumonia.datasets.augmentation import augmented, moved_alike
from deeppneumonia.datasets.dataset import lesion_shares
from deeppneumonia.datasets.lesions import LESION, NONE, UNKNOWN, LesionMaps, lesion_maps
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import ManifestError
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.preprocessing import PreprocessConfig

SMALL = PreprocessConfig(picture_px=64)
SHAPE = (12, 256, 256)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A healthy, a covid and a bacterial phantom, all for training."""
    folder = tmp_path_factory.mktemp("phantoms")
    read = read_manifest(write_cohort(folder, per_label=1, shape=SHAPE, form=Form.NIFTI))
    return read.with_rows(replace(row, split="train") for row in read.rows)


@pytest.fixture(scope="module")
def cache(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return build_cache(manifest, SMALL, tmp_path_factory.mktemp("cache"), workers=1)


@pytest.fixture(scope="module")
def maps(manifest: Manifest, cache: SliceCache) -> LesionMaps:
    return lesion_maps(manifest, cache, SMALL, ["phantom"], workers=1)


def test_what_was_drawn_is_brighter_than_the_rest_of_the_lung(
    cache: SliceCache, maps: LesionMaps
) -> None:
    sick = [entry for entry in cache.kept if entry.label == "covid"]
    drawn = [(cache.pictures[e.array_row], maps[e.line, e.slice_index]) for e in sick]
    pictures, marks = (np.stack(each) for each in zip(*drawn, strict=True))
    assert (marks == LESION).sum() > 100
    assert np.median(pictures[marks == LESION]) > 20 + np.median(pictures[marks == NONE])
    assert (marks == UNKNOWN).any()  # copies of the lung fill the background


def test_a_healthy_lung_is_known_to_hold_no_lesion(cache: SliceCache, maps: LesionMaps) -> None:
    healthy = [entry for entry in cache.kept if entry.label == "healthy"]
    assert healthy
    assert all((maps[entry.line, entry.slice_index] == NONE).all() for entry in healthy)


def test_masks_of_other_sites_teach_nothing(manifest: Manifest, cache: SliceCache) -> None:
    known = {line for line, _ in lesion_maps(manifest, cache, SMALL, ["elsewhere"], workers=1)}
    assert known == {row.line for row in manifest.rows if row.label == "healthy"}


def test_a_mask_of_another_size_is_refused_with_its_line(
    manifest: Manifest, cache: SliceCache
) -> None:
    other = next(row for row in manifest.rows if row.label == "covid")
    row = next(row for row in manifest.rows if row.label == "bacterial")
    short = manifest.folder / "short"
    short.mkdir(exist_ok=True)
    one = sorted((manifest.folder / other.lesion_mask).iterdir())[0]
    (short / one.name).write_bytes(one.read_bytes())
    wrong = manifest.with_rows([replace(row, lesion_mask="short")])
    with pytest.raises(
        ManifestError, match=rf"line {row.line} cannot be laid over its study: it is \(1, 256, 256"
    ):
        lesion_maps(wrong, cache, SMALL, ["phantom"], workers=1)


def test_a_study_in_a_zip_has_the_lesions_of_the_study_in_it(
    manifest: Manifest, cache: SliceCache, maps: LesionMaps
) -> None:
    row = next(row for row in manifest.rows if row.label == "covid")
    with zipfile.ZipFile(manifest.folder / "covid.zip", "w") as archive:
        archive.write(manifest.file(row), manifest.file(row).name)
    zipped = manifest.with_rows([replace(row, path="covid.zip")])
    drawn = {
        at: one
        for at, one in lesion_maps(zipped, cache, SMALL, ["phantom"], workers=1).items()
        if at[0] == row.line
    }
    assert drawn and all(np.array_equal(one, maps[at]) for at, one in drawn.items())


def test_marks_move_with_their_picture() -> None:
    picture = np.zeros((64, 64), np.uint8)
    picture[10:30, 40:52] = 255
    config = AugmentConfig(brightness=0, contrast=0, gamma=0)
    for seed in range(5):
        moved = augmented(picture, config, np.random.default_rng(seed))
        marks = moved_alike((picture > 0).astype(np.uint8), config, np.random.default_rng(seed))
        assert ((moved > 127) == (marks == LESION)).mean() > 0.99  # but for half pixels of the rim


def test_batches_say_the_share_of_lesion_in_each_cell(cache: SliceCache, maps: LesionMaps) -> None:
    loader = SliceLoader(
        cache,
        cache.kept,
        ClassSet(("covid", "bacterial", "healthy")),
        batch_size=4,
        seed=0,
        augment=None,
        input_px=64,
        lesions=maps,
    )
    shares = np.concatenate([batch.lesions.numpy() for batch in loader])
    assert shares.shape == (len(cache.kept), 8, 8)
    assert shares.min() == -1 and 0 < shares.max() <= 1
    healthy = [entry.label == "healthy" for entry in cache.kept]
    assert (shares[healthy] == 0).all()


def test_a_cell_that_is_mostly_unknown_is_unknown() -> None:
    marks = np.full((1, 8, 16), UNKNOWN, np.uint8)
    marks[0, :2, :8] = LESION  # a quarter of the first cell
    marks[0, :6, 8:] = NONE
    marks[0, :3, 8:] = LESION  # half of the three quarters that are known in the second
    square = np.full((1, 16, 16), UNKNOWN, np.uint8)
    square[:, :8] = marks
    assert lesion_shares(square)[0, 0].tolist() == [-1, 0.5]
