"""Phantoms look like a chest CT where numbers can say so, and are what their labels say."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from deeppneumonia.domain import Diagnosis, Unit
from deeppneumonia.phantoms import Phantom, PhantomConfig, make_phantom

QUICK = (12, 128, 128)
SEEDS = [0, 1, 17]


@cache
def phantom(label: str, seed: int, *, confounded: bool = False) -> Phantom:
    config = PhantomConfig(
        label=Diagnosis(label), seed=seed, shape=QUICK, source_confound=confounded
    )
    return make_phantom(config)


@cache
def hu(label: str, seed: int) -> NDArray[np.int16]:
    return np.asarray(phantom(label, seed).volume.array)


def body_of(volume: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Everything inside the skin, found from the picture alone."""
    body = np.zeros(volume.shape, bool)
    for index, picture in enumerate(volume):
        parts, _ = ndimage.label(ndimage.binary_opening(picture > -300, iterations=2))
        largest = parts == np.bincount(parts[parts > 0]).argmax()
        body[index] = ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=2))
    return body


def depth_below_pleura_mm(case: Phantom) -> NDArray[np.float64]:
    """Distance of every lung voxel from the edge of its lung, in the plane of its slice."""
    spacing = case.volume.spacing_mm[1:]
    return np.stack([ndimage.distance_transform_edt(lung, spacing) for lung in case.lung_mask])


def test_the_same_config_gives_the_same_voxels_and_another_seed_another_person() -> None:
    again = make_phantom(phantom("covid", 0).config)
    assert np.array_equal(again.volume.array, hu("covid", 0))
    assert np.array_equal(again.lesion_mask, phantom("covid", 0).lesion_mask)
    assert not np.array_equal(phantom("covid", 1).lung_mask, again.lung_mask)


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_have_the_hounsfield_units_of_textbooks(seed: int) -> None:
    volume, lung = hu("healthy", seed), phantom("healthy", seed).lung_mask
    body = body_of(volume)
    assert -900 <= np.median(volume[lung]) <= -750
    above = volume[:, :8]  # the air in front of the patient
    assert -1010 <= np.median(above[above < -500]) <= -990
    soft = volume[body & (volume > -30) & (volume < 130)]
    assert 20 <= np.median(soft) <= 80
    assert 0.01 < (volume[body] > 200).mean() < 0.12  # bone


@pytest.mark.parametrize("seed", SEEDS)
def test_two_lungs_of_an_adult_lie_inside_the_body(seed: int) -> None:
    case = phantom("healthy", seed)
    assert not (case.lung_mask & ~body_of(hu("healthy", seed))).any()
    litres = case.lung_mask.sum() * np.prod(case.volume.spacing_mm) / 1e6
    assert 2.0 < litres < 6.5
    middle = case.lung_mask[np.argmax(case.lung_mask.sum(axis=(1, 2)))]
    _, parts = ndimage.label(ndimage.binary_opening(middle, iterations=2))
    assert parts == 2


def test_slices_run_from_feet_to_head_and_columns_to_the_patients_left() -> None:
    case = phantom("healthy", 0)
    assert case.volume.unit is Unit.HU
    assert case.volume.spacing_mm == pytest.approx((25, 2.8125, 2.8125))
    assert not case.lung_mask[0].any()
    inside = ndimage.binary_erosion(body_of(hu("healthy", 0)), np.ones((1, 5, 5)))
    gas = inside & ~case.lung_mask & (hu("healthy", 0) < -900)
    gas[4:] = False  # leaves the stomach, which lies on the left
    left_mm = case.volume.affine @ (0, 0, np.nonzero(gas)[2].mean(), 1)
    assert left_mm[0] > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_one_person_whatever_the_diagnosis(seed: int) -> None:
    healthy, covid = phantom("healthy", seed), phantom("covid", seed)
    assert np.array_equal(healthy.lung_mask, covid.lung_mask)
    elsewhere = ~ndimage.binary_dilation(healthy.lung_mask, np.ones((1, 9, 9)))
    differ = hu("healthy", seed)[elsewhere] != hu("covid", seed)[elsewhere]
    # Slivers of lung that fill less than half a voxel are not in the mask, yet shine through.
    assert differ.mean() < 1e-3
    assert not healthy.lesion_mask.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_covid_is_bilateral_peripheral_low_ground_glass(seed: int) -> None:
    case = phantom("covid", seed)
    lung, lesion = case.lung_mask, case.lesion_mask
    assert not (lesion & ~lung).any()
    assert 0.02 < lesion.sum() / lung.sum() < 0.5
    right = lesion[:, :, : QUICK[2] // 2].sum() / lesion.sum()
    assert 0.15 < right < 0.85
    depth = depth_below_pleura_mm(case)
    assert np.median(depth[lesion]) < np.median(depth[lung & ~lesion])
    assert np.nonzero(lesion)[0].mean() < np.nonzero(lung)[0].mean()
    assert -720 < np.median(hu("covid", seed)[lesion]) < -380
    assert lesion.any(axis=(1, 2)).sum() >= 0.5 * lung.any(axis=(1, 2)).sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_bacterial_is_one_dense_lobe_with_air_bronchograms(seed: int) -> None:
    case = phantom("bacterial", seed)
    volume, lung, lesion = hu("bacterial", seed), case.lung_mask, case.lesion_mask
    assert not (lesion & ~lung).any()
    parts, _ = ndimage.label(lesion, np.ones((3, 3, 3)))
    assert np.bincount(parts[parts > 0]).max() > 0.9 * lesion.sum()
    halves = lesion[:, :, : QUICK[2] // 2].sum(), lesion[:, :, QUICK[2] // 2 :].sum()
    assert min(halves) < 0.02 * lesion.sum()
    assert 0.02 < lesion.sum() / lung.sum() < 0.35
    assert -50 < np.median(volume[lesion]) < 60
    core = ndimage.binary_erosion(lesion, np.ones((1, 3, 3)))
    assert (volume[core] < -300).any()


def test_pleural_fluid_is_water_that_takes_the_place_of_lung() -> None:
    with_fluid, without = phantom("bacterial", 17), phantom("healthy", 17)
    assert not (with_fluid.lung_mask & ~without.lung_mask).any()
    fluid = ndimage.binary_erosion(without.lung_mask & ~with_fluid.lung_mask, np.ones((1, 3, 3)))
    assert -25 < np.median(hu("bacterial", 17)[fluid]) < 40


def test_the_confound_marks_the_picture_but_not_the_truth() -> None:
    noise = {}
    for label in Diagnosis:
        plain, marked = phantom(label, 0), phantom(label, 0, confounded=True)
        assert np.array_equal(plain.lesion_mask, marked.lesion_mask)
        assert np.array_equal(plain.lung_mask, marked.lung_mask)
        assert not np.array_equal(plain.volume.array, marked.volume.array)
        # Noise from the differences of neighbours in the shoulders, which the labels share.
        noise[label] = np.diff(marked.volume.array[-1, 50:70, 20:50].astype(float)).std()
    assert noise["covid"] > 1.2 * noise["healthy"] > 1.2 * 1.2 * noise["bacterial"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"shape": (12, 32, 128)}, "at least 4 slices of 64 x 64"),
        ({"label": "cold"}, "'cold' is not a valid Diagnosis"),
    ],
)
def test_an_impossible_phantom_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    wanted: dict[str, object] = {"label": "covid", "seed": 0, "shape": QUICK}
    with pytest.raises(ValueError, match=message):
        PhantomConfig(**{**wanted, **changes})  # type: ignore[arg-type]
