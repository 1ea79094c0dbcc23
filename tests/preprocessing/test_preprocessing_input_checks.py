"""A chest CT passes the checks; what looks like one and is none, does not."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from deeppneumonia.domain import Unit, Volume, volume_of
from deeppneumonia.phantoms import Phantom, PhantomConfig, make_phantom
from deeppneumonia.phantoms.other_bodies import Region, make_other_body
from deeppneumonia.phantoms.other_pictures import inverted, mr_like, windowed
from deeppneumonia.preprocessing import InputReport, check_input, examine

SHAPE = (9, 128, 128)
SEEDS = [0, 1]


@cache
def phantom(seed: int, contrast_hu: float = 0.0) -> Phantom:
    label = ("covid", "bacterial", "healthy")[seed % 3]
    return make_phantom(PhantomConfig(label=label, seed=seed, shape=SHAPE, contrast_hu=contrast_hu))


def report_of(volume: Volume) -> InputReport:
    return check_input(volume, examine(volume))


def pictures(grey: NDArray[np.uint8]) -> InputReport:
    return report_of(volume_of(np.ascontiguousarray(grey), Unit.GREY))


def codes(report: InputReport) -> set[str]:
    return {flag.code for flag in report.flags}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chest_ct_passes_in_hu_and_as_pictures(seed: int) -> None:
    chest = phantom(seed)
    for report in (report_of(chest.volume), pictures(windowed(chest, -600, 1500))):
        assert not [flag for flag in report.flags if flag.blocks or flag.leaves_open]
    assert "contrast medium" in report_of(chest.volume).checked
    assert "contrast medium" not in pictures(windowed(chest, -600, 1500)).checked


@pytest.mark.parametrize("seed", SEEDS)
def test_contrast_medium_leaves_the_answer_open_and_is_measured(seed: int) -> None:
    (flag,) = [f for f in report_of(phantom(seed, 200.0).volume).flags if f.leaves_open]
    assert flag.code == "contrast_medium" and not flag.blocks


@pytest.mark.parametrize("seed", SEEDS)
def test_an_mr_is_refused_by_how_tissue_looks(seed: int) -> None:
    (flag,) = [flag for flag in pictures(mr_like(phantom(seed))).flags if flag.blocks]
    assert flag.code == "not_lung_ct" and "MR" in flag.message


@pytest.mark.parametrize("seed", SEEDS)
def test_pictures_that_are_turned_or_mirrored_leave_the_answer_open(seed: int) -> None:
    grey = windowed(phantom(seed), -600, 1500)
    assert "upside_down" in codes(pictures(grey[:, ::-1]))
    assert "heart_on_the_right" in codes(pictures(grey[:, :, ::-1]))
    assert {"upside_down", "heart_on_the_right"} <= codes(pictures(grey[:, ::-1, ::-1]))


def test_where_the_file_says_which_side_is_which_a_heart_on_the_right_is_only_told() -> None:
    mirrored = phantom(0).volume.array[:, :, ::-1]
    located = report_of(volume_of(np.ascontiguousarray(mirrored), Unit.HU, (33.3, 2.81, 2.81)))
    (flag,) = [flag for flag in located.flags if flag.code == "heart_on_the_right"]
    assert not flag.leaves_open and not flag.blocks


def test_a_negative_on_white_is_refused() -> None:
    flags = pictures(inverted(phantom(0))).flags
    assert any(flag.blocks and flag.code == "not_a_chest" for flag in flags)


@pytest.mark.parametrize("region", list(Region))
def test_another_region_has_too_few_lungs_for_a_chest(region: Region) -> None:
    volume = make_other_body(region, 3, SHAPE)
    found = examine(volume)
    blocked = any(flag.blocks for flag in (*found.flags, *check_input(volume, found).flags))
    assert blocked


def test_a_wrong_pixel_spacing_is_noticed() -> None:
    array = phantom(0).volume.array
    right = volume_of(array, Unit.HU, (33.3, 2.81, 2.81))
    wrong = volume_of(array, Unit.HU, (33.3, 0.281, 0.281))
    assert "implausible_size" not in codes(report_of(right))
    assert "implausible_size" in codes(report_of(wrong))
    assert "size and spacing" in report_of(right).checked


def test_one_lung_in_most_slices_leaves_the_answer_open() -> None:
    array = phantom(2).volume.array.copy()
    array[:, :, : SHAPE[2] // 2] = 40
    report = report_of(volume_of(array, Unit.HU))
    assert "mostly_one_lung" in codes(report)


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_that_the_field_of_view_cuts_off_leave_the_answer_open(seed: int) -> None:
    volume = phantom(seed).volume
    narrow = np.ascontiguousarray(volume.array[:, :, 20:84])  # a reconstruction of one lung
    (flag,) = [
        flag
        for flag in report_of(volume_of(narrow, Unit.HU, volume.spacing_mm)).flags
        if flag.code == "lungs_cut_off"
    ]
    assert flag.leaves_open and not flag.blocks
    assert "lungs_cut_off" not in codes(report_of(volume))
    # A picture may have been cut close to the lungs by whoever made it.
    assert "lungs_cut_off" not in codes(report_of(volume_of(narrow, Unit.HU)))


def test_what_is_cut_off_is_measured_in_mm_and_not_in_pixels() -> None:
    config = PhantomConfig(label="covid", seed=0, shape=(20, 128, 128))
    volume = make_phantom(config).volume
    slice_mm, row_mm, column_mm = volume.spacing_mm
    low = volume.array[:, 38:]
    wide_pixels = np.ascontiguousarray(low[:, :, ::4])  # as a sagittal series has them
    for array, along_mm in ((low, column_mm), (wide_pixels, 4 * column_mm)):
        report = report_of(volume_of(array, Unit.HU, (slice_mm, row_mm, along_mm)))
        assert "lungs_cut_off" in codes(report)


def test_what_has_no_lungs_is_not_checked_further() -> None:
    report = pictures(np.zeros((4, 128, 128), np.uint8))
    assert report == InputReport(("lungs",), ())
