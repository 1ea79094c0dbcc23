"""The series that is read is chosen by a rule, and the reason is given."""

import pytest

from deeppneumonia.readers import NoStudyError, read_volume


def series(lab, uid, count=12, **values):
    """A chest as one series, with these values in every header."""
    return with_tag(lab.chest(count), SeriesInstanceUID=uid, **values)


def with_tag(slices, **values):
    for dataset in slices:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return slices


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
def test_the_series_is_chosen_by_a_rule_and_the_reason_given(lab, tmp_path, other, reason):
    lab.save(series(lab, "1.5", WindowCenter=-600), tmp_path / "a")
    lab.save(series(lab, "1.7", **({"WindowCenter": -600} | other)), tmp_path / "b")
    volume = read_volume(tmp_path)
    assert volume.series.uid == "1.5"
    assert volume.series.chosen_because.startswith("Of 2 axial CT series it ")
    assert reason in volume.series.chosen_because
    assert [s.uid for s in volume.study.series] == ["1.5", "1.7"]
    assert read_volume(tmp_path, series="1.7").series.uid == "1.7"


def test_a_short_thin_series_does_not_stand_for_the_lungs(lab, tmp_path):
    whole = [lab.ct_slice([0, 0, 10.0 * i]) for i in range(30)]
    lab.save(with_tag(whole, SliceThickness=5), tmp_path / "a")
    lab.save(series(lab, "1.9", SliceThickness=1), tmp_path / "b")
    volume = read_volume(tmp_path)
    assert len(volume) == 30 and "covers the lungs" in volume.series.chosen_because


def test_other_modalities_beside_the_ct_are_listed_and_not_read(lab, tmp_path, shows_the_ramp):
    lab.save(lab.chest(), tmp_path / "ct")
    lab.save(series(lab, "1.9", count=30, Modality="PT"), tmp_path / "pt")
    volume = read_volume(tmp_path)
    shows_the_ramp(volume)
    assert [s.modality for s in volume.study.series] == ["CT", "PT"]
    assert "only CT series" in volume.series.chosen_because


def test_a_series_that_does_not_exist_is_refused(lab, tmp_path):
    with pytest.raises(NoStudyError, match="has 1 series, and none with"):
        read_volume(lab.save(lab.chest(), tmp_path), series="1.2.3")
