"""Pictures that lack something lack that and nothing else."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from deeppneumonia.domain import LungSlice
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import Fill, Intensity, PreprocessConfig, examine
from deeppneumonia.preprocessing.counterfactuals import curves, views_without

CONFIG = PreprocessConfig(picture_px=112, intensity=Intensity.LUNG)
BLACK = PreprocessConfig(picture_px=112, intensity=Intensity.LUNG, fill=Fill.BLACK)


@cache
def lung_slice(config: PreprocessConfig) -> LungSlice:
    volume = make_phantom(PhantomConfig(label="covid", seed=4, shape=(8, 128, 128))).volume
    kept = examine(volume, config).kept
    return kept[len(kept) // 2]


def test_without_lungs_no_copy_of_their_tissue_is_left() -> None:
    blackened = lung_slice(CONFIG)
    lung = blackened.lung_mask
    other = np.where(lung, 255 - blackened.grey, blackened.grey).astype(np.uint8)
    ill = replace(blackened, grey=other)
    here, there = (views_without(one, CONFIG)["outside_only"] for one in (blackened, ill))
    assert here is not None and there is not None
    assert np.array_equal(here, there)


def test_outside_only_shows_the_chest_wall_where_it_lies() -> None:
    lung = lung_slice(BLACK).picture > 0
    view = views_without(lung_slice(CONFIG), CONFIG)["outside_only"]
    assert view is not None and not view[lung].any()
    assert np.median(view[56 - 8 : 56 + 8, 56 - 8 : 56 + 8]) > 150  # heart and spine are bright


def test_a_picture_that_is_cut_to_the_lung_has_no_outside() -> None:
    whole = lung_slice(CONFIG)
    cut = np.where(whole.lung_mask, whole.grey, 0).astype(np.uint8)
    bare = LungSlice(
        slice_index=0, picture=whole.picture, grey=cut, lung_mask=whole.lung_mask,
        frame=whole.frame, lung_fraction=whole.lung_fraction,
    )  # fmt: skip
    assert views_without(bare, CONFIG)["outside_only"] is None


def test_a_silhouette_is_one_grey_in_the_shape_of_the_lungs() -> None:
    lung = lung_slice(BLACK).picture > 0
    view = views_without(lung_slice(CONFIG), CONFIG)["silhouette_only"]
    assert view is not None and len(np.unique(view)) == 2
    assert np.array_equal(view > 0, lung)


def test_shuffled_patches_keep_the_greys_and_lose_their_places() -> None:
    black = lung_slice(BLACK)
    view = views_without(black, BLACK)["patches_shuffled"]
    assert view is not None
    inside = view > 0
    assert inside.sum() > 0.3 * (black.picture > 0).sum()
    apart = np.abs(view[inside].astype(int) - black.picture[inside].astype(int))
    assert apart.mean() > 5
    assert set(np.unique(view[inside])) <= set(np.unique(black.picture))


@pytest.mark.parametrize("kind", ["window", "kernel", "noise"])
def test_a_stronger_disturbance_is_farther_from_the_picture(kind: str) -> None:
    levels = curves(lung_slice(CONFIG), CONFIG)[kind]
    usual = lung_slice(CONFIG).picture.astype(int)
    lung = lung_slice(BLACK).picture > 0
    apart = [np.abs(one.astype(int) - usual)[lung].mean() for one in levels.values()]
    assert len(apart) == 4
    if kind == "window":  # each lung is stretched to its own scale: a window changes little
        assert max(apart) < 12
    elif kind == "kernel":
        assert apart[1] < apart[2] < apart[3]
    else:
        assert apart == sorted(apart)
