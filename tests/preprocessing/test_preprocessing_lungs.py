"""The lungs that are found are the lungs that were drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from deeppneumonia.domain import Diagnosis, Unit
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import apply_window, find_lungs
from deeppneumonia.preprocessing.crops import find_cut_lungs
from deeppneumonia.preprocessing.morphology import close_disk, fill_holes


def blobs(seed: int) -> NDArray[np.uint8]:
    """Noise in lumps, some of which reach the edge."""
    noise = np.random.default_rng(seed).random((97, 120)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 4) > 0.51).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1.5, 6.4, 13.0])
def test_closing_in_a_window_is_closing_in_the_whole_picture(seed: int, radius: float) -> None:
    mask = blobs(seed)
    mask[:, : 30 * seed] = 0
    padded = np.pad(mask, 20)
    grown = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 3) <= radius
    closed = cv2.distanceTransform(grown.astype(np.uint8), cv2.DIST_L2, 3) > radius
    assert (close_disk(mask, radius) == (closed[20:-20, 20:-20] | mask)).all()


def test_closing_nothing_gives_nothing() -> None:
    nothing = np.zeros((80, 90), np.uint8)
    assert not close_disk(nothing, 5).any() and not fill_holes(nothing, 100).any()


@pytest.mark.parametrize("seed", range(4))
def test_holes_are_what_no_way_leads_out_of(seed: int) -> None:
    mask = blobs(seed)
    mask[:, : 30 * seed] = 0
    filled = fill_holes(mask, mask.size)
    pieces, count = ndimage.label(filled == 0)
    for piece in range(1, count + 1):
        rows, columns = np.nonzero(pieces == piece)
        at_edge = min(rows.min(), columns.min()) == 0 or rows.max() == 96 or columns.max() == 119
        assert at_edge
    assert ((ndimage.binary_fill_holes(mask) == 0) >= (filled == 0)).all()


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


@pytest.mark.parametrize("seed", range(3))
def test_lungs_in_hounsfield_units_are_found(chest, seed: int) -> None:
    drawn = chest(seed=seed)
    assert dice(find_lungs(drawn.hu, Unit.HU), drawn.lungs) > 0.95


@pytest.mark.parametrize(
    ("gain", "offset"),
    [(1.0, 0), (0.35, 80), (0.1, 12), (1.4, -60)],
    ids=["lung window", "low contrast", "dark", "narrow window"],
)
def test_lungs_in_grey_pictures_of_any_window_are_found(chest, gain: float, offset: int) -> None:
    drawn = chest()
    grey = np.clip(drawn.grey * gain + offset, 0, 255).astype(np.uint8)
    assert dice(find_lungs(grey, Unit.GREY), drawn.lungs) > 0.95


def test_lungs_are_found_whatever_the_matrix(chest) -> None:
    drawn = chest()
    large = cv2.resize(drawn.hu.astype(np.float32), (768, 768)).astype(np.int16)
    truth = cv2.resize(drawn.lungs.astype(np.uint8), (768, 768)) > 0
    assert dice(find_lungs(large, Unit.HU), truth) > 0.95


def test_lungs_cut_by_a_tight_crop_are_found(chest) -> None:
    drawn = chest()
    window = slice(125, 390), slice(100, 412)
    found = find_lungs(drawn.grey[window], Unit.GREY)
    assert dice(found, drawn.lungs[window]) > 0.95


def test_table_outside_air_and_trachea_are_never_lung(chest) -> None:
    drawn = chest()
    for found in (find_lungs(drawn.hu, Unit.HU), find_lungs(drawn.grey, Unit.GREY)):
        assert not found[drawn.table].any()
        assert not found[:90].any()
        assert not found[drawn.trachea].any()


def test_dense_consolidation_at_the_pleura_stays_inside(chest) -> None:
    drawn = chest(consolidated=True)
    for found in (find_lungs(drawn.hu, Unit.HU), find_lungs(drawn.grey, Unit.GREY)):
        # Where it hides the pleura, the chest wall's curve is a guess: a rim of it may be lost.
        assert found[drawn.consolidation].mean() > 0.85
        assert dice(found, drawn.lungs) > 0.95


def test_a_table_without_a_patient_has_no_lungs(chest) -> None:
    drawn = chest()
    alone = np.where(drawn.table, drawn.hu, -1000).astype(np.int16)
    assert not find_lungs(alone, Unit.HU).any()


@pytest.mark.parametrize("level", [-1000, 40, -850])
def test_an_empty_slice_has_no_lungs(level: int) -> None:
    assert not find_lungs(np.full((256, 256), level, np.int16), Unit.HU).any()


def test_an_abdomen_with_bowel_gas_has_no_lungs(chest) -> None:
    hu = np.where(chest().lungs, 40, chest().hu).astype(np.int16)
    cv2.ellipse(hu, (320, 190), (40, 22), 0, 0, 360, -1000, cv2.FILLED)
    assert not find_lungs(hu, Unit.HU).any()


def test_a_picture_too_small_to_show_lungs_has_none() -> None:
    assert not find_lungs(np.zeros((10, 10), np.uint8), Unit.GREY).any()


def test_of_a_cut_picture_the_foreground_is_the_lung(chest) -> None:
    drawn = chest()
    noise = np.random.default_rng(0).integers(0, 8, drawn.grey.shape, np.uint8)
    cut = np.where(drawn.lungs, np.maximum(drawn.grey, 40), noise)[120:400, 60:450]
    assert dice(find_cut_lungs(cut), drawn.lungs[120:400, 60:450]) > 0.98


def test_a_table_cut_out_by_mistake_is_not_lung(chest) -> None:
    drawn = chest()
    table_only = np.where(drawn.table, 90, 0).astype(np.uint8)[380:480]
    assert not find_cut_lungs(table_only).any()
    both = np.where(drawn.table, 90, np.where(drawn.lungs, drawn.grey, 0)).astype(np.uint8)
    found = find_cut_lungs(both)
    assert not found[drawn.table].any()
    assert found[drawn.lungs].mean() > 0.95


@pytest.mark.real_data
def test_real_lungs_agree_with_masks_drawn_by_radiologists(real_data: Path) -> None:
    scores = []
    for mask_path in sorted((real_data / "medseg" / "lung").glob("*.png"))[::4]:
        truth = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE) > 0
        picture = real_data / "medseg" / "ct" / f"{mask_path.stem}.jpg"
        found = find_lungs(cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE), Unit.GREY)
        scores.append(dice(found, truth) if truth.any() else float(not found.any()))
    assert np.mean(scores) > 0.95


@pytest.mark.parametrize(("seed", "index"), [(502, 8), (503, 6), (500, 9)])
def test_a_consolidated_lobe_with_open_bronchi_stays_inside(seed: int, index: int) -> None:
    shape = (15, 256, 256)
    phantom = make_phantom(PhantomConfig(label=Diagnosis.BACTERIAL, seed=seed, shape=shape))
    hu, lesion = phantom.volume.slice(index), phantom.lesion_mask[index]
    grey = apply_window(hu, center_hu=-600, width_hu=1500)
    for found in (find_lungs(hu, Unit.HU), find_lungs(grey, Unit.GREY)):
        assert found[lesion].mean() > 0.7
        assert dice(found, phantom.lung_mask[index]) > 0.9


def test_solid_tissue_without_bronchi_is_no_lung() -> None:
    shape = (15, 256, 256)
    phantom = make_phantom(PhantomConfig(label=Diagnosis.HEALTHY, seed=530, shape=shape))
    for index in range(15):
        hu = phantom.volume.slice(index)
        beyond = find_lungs(hu, Unit.HU) & ~phantom.lung_mask[index]
        assert (beyond & (hu > -100)).sum() < 0.05 * max(phantom.lung_mask[index].sum(), 2000)
