"""From a volume to lung slices: what is kept, what is dropped, and what is said about it."""

from dataclasses import replace

import numpy as np
import pytest

from deeppneumonia.domain import Unit, Volume, volume_of
from deeppneumonia.preprocessing import (
    Fill,
    Intensity,
    NoLungsError,
    PreprocessConfig,
    examine,
    preprocess,
)

SPACING_MM = (10.0, 0.7, 0.7)


@pytest.fixture(scope="module")
def volume(chest) -> Volume:
    """Six slices from the feet: abdomen, a small end of the lungs, then four whole ones."""
    whole = [chest(seed=seed).hu for seed in range(4)]
    abdomen = np.where(chest().lungs, 40, chest().hu).astype(np.int16)
    return volume_of(np.stack([abdomen, chest(size=0.28).hu, *whole]), Unit.HU, SPACING_MM)


def codes(examination) -> dict[str, bool]:
    return {flag.code: flag.blocks for flag in examination.flags}


def test_slices_without_enough_lung_are_dropped_with_a_reason(volume: Volume) -> None:
    examination = examine(volume)
    assert [kept.slice_index for kept in examination.kept] == [2, 3, 4, 5]
    reasons = {drop.slice_index: drop.reason for drop in examination.dropped}
    assert reasons[0] == "no lung found"
    assert reasons[1].startswith("incomplete lung: 1.") and "not 4.0%" in reasons[1]
    assert codes(examination) == {"slices_dropped": False}


def test_the_incomplete_lung_rule_can_be_set(volume: Volume) -> None:
    examination = examine(volume, PreprocessConfig(min_lung_fraction=0.01))
    assert [kept.slice_index for kept in examination.kept] == [1, 2, 3, 4, 5]


def test_facts_are_for_the_record(volume: Volume, chest) -> None:
    facts = examine(volume).facts
    assert facts["slices_total"] == 6
    assert facts["slices_kept"] == 4
    assert facts["window_center_hu"] == -600
    drawn_px = sum(int(chest(seed=seed).lungs.sum()) for seed in range(4))
    drawn_px += int(chest(size=0.28).lungs.sum())
    assert facts["lung_volume_ml"] == pytest.approx(drawn_px * 0.49 * 10 / 1000, rel=0.05)


def test_only_the_slices_in_use_are_read(volume: Volume) -> None:
    class Counting:
        def __init__(self) -> None:
            self.read_slices: list[int] = []
            self.shape = (150, 512, 512)

        def read(self, index: int) -> np.ndarray:
            self.read_slices.append(index)
            return volume.slice(5)

    source = Counting()
    kept = preprocess(replace(volume, pixels=source))
    assert source.read_slices == list(range(5, 150, 10))
    assert [lung_slice.slice_index for lung_slice in kept] == source.read_slices


def test_a_lung_slice_holds_picture_slice_and_mask(volume: Volume, chest) -> None:
    lung_slice = preprocess(volume)[0]
    assert lung_slice.picture.shape == (448, 448)
    assert lung_slice.grey.shape == lung_slice.lung_mask.shape == (512, 512)
    assert lung_slice.lung_fraction == pytest.approx(chest(seed=0).lungs.mean(), rel=0.05)


def test_the_same_volume_gives_the_same_pictures(volume: Volume) -> None:
    for config in (PreprocessConfig(), PreprocessConfig(intensity=Intensity.LUNG)):
        first, second = preprocess(volume, config), preprocess(volume, config)
        assert all((a.picture == b.picture).all() for a, b in zip(first, second, strict=True))


def test_grey_pictures_are_used_as_they_are_and_flagged(chest) -> None:
    drawn = chest()
    examination = examine(volume_of(drawn.grey[None], Unit.GREY))
    assert (examination.kept[0].grey == drawn.grey).all()
    assert codes(examination) == {"grey_levels": False}
    assert examination.facts["lung_volume_ml"] is None
    assert examination.facts["window_center_hu"] is None


def test_a_volume_without_lungs_is_refused(volume: Volume) -> None:
    abdomen = volume_of(volume.array[:1], Unit.HU, SPACING_MM)
    with pytest.raises(NoLungsError, match=r"1 slice examined \(1 no lung found\)"):
        preprocess(abdomen)
    assert codes(examine(abdomen))["no_lungs"] is True


def test_a_missing_lung_is_flagged_and_the_slice_kept(chest) -> None:
    hu = chest().hu.copy()
    hu[:, 262:][chest().lungs[:, 262:]] = 40
    examination = examine(volume_of(hu[None], Unit.HU))
    assert len(examination.kept) == 1
    assert "one_lung" in codes(examination)


def test_an_implausible_lung_volume_is_flagged(volume: Volume) -> None:
    tiny = volume_of(volume.array, Unit.HU, (1.0, 0.1, 0.1))
    assert "implausible_lung_volume" in codes(examine(tiny))


def test_lungs_blackened_by_another_window_are_dropped(chest) -> None:
    mediastinal = np.clip((chest().hu + 135.0) / 350 * 255, 0, 255).astype(np.uint8)
    examination = examine(volume_of(mediastinal[None], Unit.GREY))
    assert examination.dropped[0].reason.startswith("lung without grey levels")


def test_a_picture_cut_to_the_lung_is_used_and_a_table_refused(chest) -> None:
    drawn = chest()
    lungs = np.where(drawn.lungs, drawn.grey, 0).astype(np.uint8)
    table = np.where(drawn.table, 90, 0).astype(np.uint8)
    volume = replace(volume_of(np.stack([lungs, table]), Unit.GREY), lung_masked=True)
    examination = examine(volume, PreprocessConfig(fill=Fill.BLACK))
    assert [kept.slice_index for kept in examination.kept] == [0]
    assert examination.dropped[0].reason == "no lung found"
