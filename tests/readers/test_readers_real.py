"""Three real patients from COVID-CT-MD: every fifth slice, 10 mm apart, JPEG Lossless."""

import csv
from pathlib import Path

import numpy as np
import pytest

from deeppneumonia.readers import read_study, read_volume

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize(("patient", "count"), [("P001", 30), ("cap001", 34), ("normal001", 31)])
def test_a_real_series_is_read_in_hounsfield_units_from_feet_to_head(
    real_data: Path, patient: str, count: int
) -> None:
    folder = real_data / "covid_ct_md" / "dicom" / patient
    volume = read_volume(folder)
    assert volume.shape == (count, 512, 512)
    assert volume.spacing_mm[0] == pytest.approx(10)
    assert len(read_study(folder).series) == 1

    with (real_data / "covid_ct_md" / "manifest.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["patient_id"] == patient]
    head_first = sorted(rows, key=lambda row: int(row["z_index_head_first"]))
    names = [Path(row["path"]).name for row in reversed(head_first)]
    assert [file.name for file in volume.series.files] == names

    middle = volume.slice(count // 2).astype(float)
    centre = middle[100:400, 60:450]
    lungs = centre[(centre > -980) & (centre < -500)]
    tissue = centre[(centre > -50) & (centre < 150)]
    assert lungs.size > 15_000 and -920 < np.median(lungs) < -750
    assert tissue.size > 10_000 and 0 < np.median(tissue) < 80
    assert np.median(middle[:20, :20]) < -950
