"""Scans of more than a chest: the fifteen slices go where the lungs are."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Unit, Volume, volume_of
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.phantoms.other_bodies import Region, make_belly, make_other_body
from deeppneumonia.preprocessing import Examination, check_input, equal_slices, examine
from deeppneumonia.preprocessing.slices import chest_of

SHAPE = (60, 128, 128)
"""Of each region: 300 mm."""

CHEST = make_phantom(PhantomConfig(label="covid", seed=1, shape=SHAPE)).volume


@cache
def other(region: Region) -> NDArray[np.int16]:
    return make_other_body(region, 1, SHAPE).array


def scan(*regions: NDArray[np.int16]) -> Volume:
    return volume_of(np.concatenate(regions), Unit.HU, CHEST.spacing_mm)


@cache
def belly() -> NDArray[np.int16]:
    """210 mm."""
    return make_belly(1, SHAPE).array


def codes(volume: Volume, examination: Examination) -> set[str]:
    flags = (*examination.flags, *check_input(volume, examination).flags)
    return {flag.code for flag in flags}


@pytest.mark.parametrize("below", [1, 2, 3], ids=["chest and belly", "to pelvis", "to thighs"])
@pytest.mark.parametrize("head", [False, True], ids=["", "with head"])
def test_lungs_of_a_longer_scan_are_read_as_closely_as_those_of_a_chest(
    below: int, head: bool
) -> None:
    above = [other(Region.HEAD)[::2]] if head else []
    volume = scan(*[belly()] * below, CHEST.array, *above)
    alone, found = examine(CHEST), examine(volume)
    first = below * len(belly())
    assert all(first <= one.slice_index < first + len(CHEST) for one in found.kept)
    assert len(found.kept) >= 0.8 * len(alone.kept)
    assert len(found.kept) + len(found.dropped) == 15
    volumes = [one.facts["lung_volume_ml"] for one in (alone, found)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    assert "long_scan" in codes(volume, found)
    assert codes(volume, found) - {"long_scan"} == codes(CHEST, alone)


def test_slices_of_a_chest_are_those_that_they_were() -> None:
    found = examine(CHEST)
    looked = [one.slice_index for one in (*found.kept, *found.dropped)]
    assert sorted(looked) == list(equal_slices(len(CHEST), 15))
    assert "long_scan" not in codes(CHEST, found)


def test_an_abdomen_with_the_bases_of_the_lungs_is_still_none() -> None:
    volume = scan(belly(), belly(), other(Region.ABDOMEN))
    assert codes(volume, examine(volume)) & {"not_a_chest", "no_lungs"}


def test_a_long_bowel_with_gas_behind_the_middle_is_not_taken_for_the_lungs() -> None:
    gassy = belly().copy()
    rows, columns = np.mgrid[:128, :128]
    middle = np.argwhere(gassy[20] > -400).mean(axis=0)
    for aside in (-26, 26):
        distance = np.hypot(rows - middle[0] - 6, columns - middle[1] - aside)
        gassy[:, distance < 5] = -980  # of 28 mm, on either side
    volume = scan(belly()[:10], gassy, gassy, belly()[:5], CHEST.array)
    first = len(volume) - len(CHEST)
    found = examine(volume)
    assert len(found.kept) >= 0.8 * len(examine(CHEST).kept)
    assert all(one.slice_index >= first for one in found.kept)


def test_of_a_scan_of_unknown_size_the_whole_is_looked_at() -> None:
    array = np.concatenate([belly(), belly(), CHEST.array])
    found = examine(volume_of(array, Unit.HU))
    looked = [one.slice_index for one in (*found.kept, *found.dropped)]
    assert sorted(looked) == list(equal_slices(len(array), 15))


@pytest.mark.parametrize(
    ("lung", "expected"),
    [
        ("..xxx.....", range(16, 55)),
        ("oooo..xxx.", range(56, 95)),  # more slices, but of little lung: gas
        ("xxx.......", range(35)),
        (".......xxx", range(66, 100)),
        ("xxxxxxxxxx", None),
        ("x.....xxx.", range(56, 95)),
        ("......xx..", None),
        ("..........", None),
    ],
)
def test_the_run_with_most_lung_is_the_chest(lung: str, expected: range | None) -> None:
    indices = equal_slices(100, 10)  # 5, 15, ... 95
    lung_px = [{".": 0, "o": 50, "x": 2000}[one] for one in lung]
    assert chest_of(100, indices, lung_px, 6.0) == expected
    assert chest_of(100, indices, lung_px, 4.0) is None  # no longer than a chest
    assert chest_of(10, range(10), lung_px, 60.0) is None  # all of it was examined
