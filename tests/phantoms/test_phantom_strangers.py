"""Heads, abdomens and pictures that are no CT look like what they are called."""

from functools import cache

import numpy as np
import pytest

from deeppneumonia.phantoms import Phantom, PhantomConfig, make_phantom
from deeppneumonia.phantoms.other_bodies import Region, make_other_body
from deeppneumonia.phantoms.other_pictures import inverted, mr_like, radiographs, windowed

SHAPE = (10, 96, 96)


@cache
def phantom(contrast_hu: float = 0.0) -> Phantom:
    return make_phantom(PhantomConfig(label="covid", seed=2, shape=SHAPE, contrast_hu=contrast_hu))


def test_contrast_medium_changes_blood_and_nothing_else() -> None:
    plain, bright = phantom().volume.array, phantom(200.0).volume.array
    apart = bright.astype(int) - plain
    assert np.percentile(apart, 99.5) > 120  # the heart is a few per cent of the field
    assert np.median(np.abs(apart)) == 0
    assert np.array_equal(phantom().lesion_mask, phantom(200.0).lesion_mask)


def test_impossible_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match="contrast_hu must be 0 to 1000"):
        PhantomConfig(label="covid", seed=0, contrast_hu=-1)


@pytest.mark.parametrize("region", list(Region))
def test_other_bodies_are_the_same_every_time_and_hold_their_tissue(region: Region) -> None:
    volume = make_other_body(region, 1, SHAPE)
    assert np.array_equal(volume.array, make_other_body(region, 1, SHAPE).array)
    assert not np.array_equal(volume.array, make_other_body(region, 2, SHAPE).array)
    assert volume.array.dtype == np.int16 and volume.shape == SHAPE
    soft = (volume.array > 0) & (volume.array < 80)
    assert 0.03 < soft.mean() < 0.5


def test_a_head_holds_no_lung_and_an_abdomen_little() -> None:
    def lungs(region: Region) -> float:
        hu = make_other_body(region, 1, SHAPE).array
        return float(((hu > -920) & (hu < -780)).mean())

    chest = phantom().volume.array
    assert lungs(Region.HEAD) < 0.01
    assert lungs(Region.ABDOMEN) < 0.5 * float(((chest > -920) & (chest < -780)).mean())


def test_in_mr_fat_is_brighter_than_muscle_and_in_ct_it_is_not() -> None:
    hu, signal = phantom().volume.array, mr_like(phantom())
    fat, muscle = (hu > -130) & (hu < -80), (hu > 30) & (hu < 70)
    assert np.median(signal[fat]) > 1.3 * np.median(signal[muscle])


def test_a_negative_and_a_window_are_what_they_say() -> None:
    lung = windowed(phantom(), -600, 1500)
    assert np.array_equal(inverted(phantom()), 255 - lung)
    assert np.median(windowed(phantom(), 40, 350)[phantom().lung_mask]) == 0


def test_radiographs_show_lungs_darker_than_the_spine() -> None:
    films = radiographs(phantom())
    assert films.shape == (3, 96, 96) and films.dtype == np.uint8
    film = films[1].astype(float)
    assert film[40:60, 44:52].mean() > film[40:60, 28:36].mean()
