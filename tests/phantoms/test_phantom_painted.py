"""Lesions painted into healthy lungs: the disease that was asked for, and nothing else."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Diagnosis
from deeppneumonia.phantoms import PhantomConfig, make_phantom, paint_lesions
from deeppneumonia.phantoms.other_pictures import LUNG_WINDOW_HU, windowed

SEEDS = range(12)
Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]


@cache
def healthy_slice() -> tuple[Grey, Mask]:
    """A slice through the middle of a healthy chest, in the lung window, and its lungs."""
    made = make_phantom(PhantomConfig(label=Diagnosis.HEALTHY, seed=3, shape=(8, 256, 256)))
    return windowed(made, *LUNG_WINDOW_HU)[4], made.lung_mask[4]


@cache
def painted(label: Diagnosis, seed: int) -> tuple[Grey, Mask]:
    return paint_lesions(*healthy_slice(), label, np.random.default_rng(seed))


@pytest.mark.parametrize("label", [Diagnosis.COVID, Diagnosis.BACTERIAL])
@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_lung_is_painted_and_lesions_are_denser_than_it_was(
    label: Diagnosis, seed: int
) -> None:
    grey, lung = healthy_slice()
    seen, lesion = painted(label, seed)
    assert np.array_equal(seen[~lung], grey[~lung])
    assert not (lesion & ~lung).any()
    if lesion.any():
        assert seen[lesion].mean() > grey[lesion].mean() + 8


def test_healthy_lungs_stay_without_lesion_and_nearly_as_they_were() -> None:
    grey, lung = healthy_slice()
    for seed in SEEDS:
        seen, lesion = painted(Diagnosis.HEALTHY, seed)
        assert not lesion.any()
        assert np.median(np.abs(seen[lung].astype(int) - grey[lung])) <= 12


def test_bacterial_lesions_are_larger_and_denser_than_those_of_covid() -> None:
    grey, _ = healthy_slice()

    def area_and_density(label: Diagnosis) -> tuple[float, float]:
        made = [painted(label, seed) for seed in SEEDS]
        rise = [seen[lesion] - grey[lesion].astype(float) for seen, lesion in made if lesion.any()]
        return float(np.mean([lesion.sum() for _, lesion in made])), float(
            np.mean([one.mean() for one in rise])
        )

    area, density = area_and_density(Diagnosis.BACTERIAL)
    covid_area, covid_density = area_and_density(Diagnosis.COVID)
    assert area > 1.5 * covid_area
    assert density > 1.2 * covid_density


def test_lesions_lie_below_the_pleura_more_often_than_chance() -> None:
    _, lung = healthy_slice()
    rows = np.flatnonzero(lung.any(axis=1))
    behind = np.arange(len(lung))[:, None] > rows.mean()
    share = np.mean([painted(Diagnosis.COVID, seed)[1][behind & lung].sum() for seed in SEEDS])
    everywhere = np.mean([painted(Diagnosis.COVID, seed)[1].sum() for seed in SEEDS])
    assert share / everywhere > (behind & lung).sum() / lung.sum()


def test_the_same_draw_gives_the_same_lesion_and_another_gives_another() -> None:
    again = paint_lesions(*healthy_slice(), Diagnosis.COVID, np.random.default_rng(0))
    for one, other in zip(painted(Diagnosis.COVID, 0), again, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(painted(Diagnosis.COVID, 1)[0], again[0])


def test_a_picture_that_is_cut_to_the_lung_can_be_painted_too() -> None:
    grey, lung = healthy_slice()
    cut = np.where(lung, grey, 0).astype(np.uint8)
    seen, lesion = paint_lesions(cut, lung, Diagnosis.BACTERIAL, np.random.default_rng(0))
    assert lesion.any()
    assert seen[lesion].mean() > cut[lesion].mean() + 8
    assert not seen[~lung].any()
