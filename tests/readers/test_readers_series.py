"""The series that is read is chosen by a rule, and the reason is given."""

import numpy as np
import pytest
from ramp_ct import ORIGIN, SLICE_MM, chest, ct_slice, save, with_tags

from deeppneumonia.readers import MixedSeriesError, NoStudyError, read_volume


def series(uid, count=12, **values):
    """A chest as one series, with these values in every header."""
    return with_tags(chest(count), SeriesInstanceUID=uid, **values)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"SliceThickness": 5}, "has the thinnest slices (3 mm)"),
        ({"count": 11}, "has the most slices (12)"),
        ({"count": 3, "SliceThickness": 1}, "has 10 slices or more"),
        ({"WindowCenter": 40}, "is stored with a lung window"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"], "SliceThickness": 1}, "is original"),
        ({"WindowCenter": [-600, 40]}, "comes first by UID"),
    ],
    ids=str,
)
def test_the_series_is_chosen_by_a_rule_and_the_reason_given(tmp_path, other, reason):
    save(series("1.5", WindowCenter=-600), tmp_path / "a")
    save(series("1.7", **({"WindowCenter": -600} | other)), tmp_path / "b")
    volume = read_volume(tmp_path)
    assert volume.series.uid == "1.5"
    assert volume.series.chosen_because.startswith("Of 2 axial CT series it ")
    assert reason in volume.series.chosen_because
    assert [s.uid for s in volume.study.series] == ["1.5", "1.7"]
    assert read_volume(tmp_path, series="1.7").series.uid == "1.7"


def test_a_short_thin_series_does_not_stand_for_the_lungs(tmp_path):
    whole = [ct_slice([0, 0, 10.0 * i]) for i in range(30)]
    save(with_tags(whole, SliceThickness=5), tmp_path / "a")
    save(series("1.9", SliceThickness=1), tmp_path / "b")
    volume = read_volume(tmp_path)
    assert len(volume) == 30 and "covers the lungs" in volume.series.chosen_because


def test_other_modalities_beside_the_ct_are_listed_and_not_read(tmp_path, shows_the_ramp):
    save(chest(), tmp_path / "ct")
    save(series("1.9", count=30, Modality="PT"), tmp_path / "pt")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert [s.modality for s in volume.study.series] == ["CT", "PT"]
    assert "only CT series" in volume.series.chosen_because


def test_a_series_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(NoStudyError, match="has 1 series, and none with"):
        read_volume(save(chest(), tmp_path), series="1.2.3")


def test_a_series_of_localizers_that_is_asked_for_is_refused_by_that_name(tmp_path):
    save(chest(), tmp_path / "a")
    save(series("1.9", count=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "b")
    with pytest.raises(NoStudyError, match=r"only localizers .*: name another CT series"):
        read_volume(tmp_path, series="1.9")


def acquisition(folder, number, first, count, hu=0):
    """Slices of the ramp CT from place `first` on, as an acquisition; `hu` sets it apart."""
    origin = np.add(ORIGIN, (0, 0, first * SLICE_MM))
    slices = with_tags(chest(count, origin=origin), AcquisitionNumber=number)
    save(with_tags(slices, RescaleIntercept=-1024 + hu), folder, f"{number}-")


def test_a_fragment_costs_no_other_part_of_the_scan(tmp_path, shows_the_ramp):
    acquisition(tmp_path, 1, 0, 12)
    acquisition(tmp_path, 2, 12, 6)
    shows_the_ramp(read_volume(tmp_path), 18)
    acquisition(tmp_path, 3, 5, 3, hu=40)  # monitoring of contrast inside the first
    acquisition(tmp_path, 4, 10, 4, hu=40)  # and where they adjoin
    volume = read_volume(tmp_path)
    shows_the_ramp(volume, 18)
    (flag,) = volume.flags
    assert flag.code == "mixed_acquisitions"
    assert "2 that adjoin each other (18 slices) were used and 7 images left out" in flag.message


@pytest.mark.parametrize("first", [-1, 8], ids=["below", "above"])
def test_a_fragment_may_reach_one_slice_beyond(tmp_path, shows_the_ramp, first):
    acquisition(tmp_path, 1, 0, 12)
    acquisition(tmp_path, 2, first, 5, hu=40)
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert "the one that is whole (12 slices) was used" in volume.flags[0].message


@pytest.mark.parametrize(("first", "count"), [(10, 6), (-3, 5), (10, 12)])
def test_no_part_of_the_chest_is_left_out_as_a_fragment(tmp_path, first, count):
    acquisition(tmp_path, 1, 0, 12)
    acquisition(tmp_path, 2, first, count, hu=40)
    reach_mm = SLICE_MM * max(-first, first + count - 12)
    with pytest.raises(MixedSeriesError, match=rf"{count} slices reaches {reach_mm:.0f} mm beyond"):
        read_volume(tmp_path)


def test_thick_slices_of_the_whole_chest_do_not_lose_to_thin_ones_of_a_part(tmp_path):
    acquisition(tmp_path, 1, 0, 12)
    thick = with_tags(chest(5, step=(0, 0, 4 * SLICE_MM)), AcquisitionNumber=2)
    save(thick, tmp_path, "thick-")
    with pytest.raises(MixedSeriesError, match="reaches 15 mm beyond one of 12"):
        read_volume(tmp_path)
