"""Augmentation: small, seeded, and within the ranges that it states."""

import numpy as np
import pytest

from deeppneumonia.datasets import AugmentConfig
from deeppneumonia.datasets.augmentation import augmented, moved_alike

STILL = AugmentConfig(
    flip_probability=0, brightness=0, contrast=0, gamma=0, rotation_deg=0, scale=0, shift=0
)


def with_blob(row: int, column: int) -> np.ndarray:
    picture = np.full((64, 64), 40, np.uint8)
    picture[row - 2 : row + 3, column - 2 : column + 3] = 200
    return picture


def draws(picture: np.ndarray, config: AugmentConfig, count: int = 200) -> np.ndarray:
    return np.stack(
        [augmented(picture, config, np.random.default_rng(seed)) for seed in range(count)]
    )


def replaced(**changes: float) -> AugmentConfig:
    return AugmentConfig(**{**{name: getattr(STILL, name) for name in STILL.__slots__}, **changes})


def test_without_any_range_a_picture_stays_as_it_is() -> None:
    picture = with_blob(20, 30)
    np.testing.assert_array_equal(augmented(picture, STILL, np.random.default_rng(0)), picture)


def test_the_same_generator_gives_the_same_picture() -> None:
    picture = with_blob(20, 30)
    one, other = (augmented(picture, AugmentConfig(), np.random.default_rng(7)) for _ in "ab")
    np.testing.assert_array_equal(one, other)


def test_a_flip_mirrors_left_and_right() -> None:
    flipped = augmented(with_blob(20, 10), replaced(flip_probability=1), np.random.default_rng(0))
    np.testing.assert_array_equal(flipped, with_blob(20, 53))


def test_half_of_the_pictures_are_flipped() -> None:
    found = draws(with_blob(20, 10), replaced(flip_probability=0.5), count=400)
    assert 160 < (found[:, 20, 53] == 200).sum() < 240  # 400 coins: 4 standard deviations


def test_brightness_stays_within_an_eighth_as_published() -> None:
    levels = draws(np.full((8, 8), 100, np.uint8), replaced(brightness=0.126))[:, 0, 0]
    assert levels.min() >= 87
    assert levels.max() <= 113
    assert np.ptp(levels) > 20


def test_black_stays_black_under_brightness_and_gamma() -> None:
    picture = with_blob(20, 30)
    picture[0] = 0
    assert draws(picture, replaced(brightness=0.126, gamma=0.1))[:, 0].max() == 0


@pytest.mark.parametrize(
    ("change", "reach_px"),
    # The blob lies 24 px right of the centre.
    [({"rotation_deg": 10}, 24 * np.sin(np.radians(10))), ({"shift": 0.05}, 3.2 * 2**0.5)],
    ids=["rotation", "shift"],
)
def test_lungs_move_no_further_than_stated(change: dict[str, float], reach_px: float) -> None:
    found = draws(with_blob(32, 56), replaced(**change)).astype(float) - 40
    rows, columns = np.mgrid[:64, :64]
    weight = found.sum(axis=(1, 2))
    moved = np.hypot(
        (found * rows).sum(axis=(1, 2)) / weight - 32,
        (found * columns).sum(axis=(1, 2)) / weight - 56,
    )
    assert moved.max() < reach_px + 1  # 1: the centre of 64 pixels lies between two of them
    assert moved.max() > reach_px / 2


def test_nothing_black_comes_in_at_the_edge() -> None:
    assert draws(with_blob(32, 32), replaced(rotation_deg=10, scale=0.1, shift=0.05)).min() == 40


def test_half_of_the_pictures_get_noise_of_every_strength_up_to_the_stated_one() -> None:
    picture = np.full((64, 64), 100, np.uint8)
    found = draws(picture, replaced(noise=20), count=400).astype(float).std(axis=(1, 2))
    assert 160 < (found > 0).sum() < 240  # 400 coins: 4 standard deviations
    assert 18 < found.max() < 21
    assert ((found > 0.5) & (found < 5)).any()


def test_noise_changes_no_mean_and_its_grain_differs() -> None:
    picture = np.full((64, 64), 100, np.uint8)
    noisy = [one for one in draws(picture, replaced(noise=20)).astype(float) if one.std() > 5]
    grains = [np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1] for one in noisy]
    assert max(abs(one.mean() - 100) for one in noisy) < 2
    assert min(grains) < 0.1
    assert max(grains) > 0.6


def test_marks_move_with_a_noisy_picture() -> None:
    """Noise is drawn after the movement, which `moved_alike` draws again."""
    moving = AugmentConfig(brightness=0, contrast=0, gamma=0, noise=1)
    picture = with_blob(20, 30)
    for seed in range(20):
        changed = augmented(picture, moving, np.random.default_rng(seed))
        marks = moved_alike(picture, moving, np.random.default_rng(seed))
        assert np.mean((changed > 120) != (marks > 120)) < 0.01
