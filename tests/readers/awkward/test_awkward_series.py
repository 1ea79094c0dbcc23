"""Awkward DICOM series: read right voxel by voxel, and what was put right is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ramp_ct import COLUMNS, ROWS, SLICES, grid, ramp
from readable import READABLE, Readable, corners_of
from refusable import REFUSABLE, Refusable

from deeppneumonia.domain import Unit, Volume
from deeppneumonia.readers import read_volume


def in_order(points: Any) -> Any:
    return points[np.lexsort(np.round(points, 0).T)]


def assert_every_voxel_is_in_its_place(volume: Volume, case: Readable) -> None:
    assert volume.unit is Unit.HU and volume.has_geometry
    assert sorted(volume.shape) == sorted((SLICES, ROWS, COLUMNS))
    slice_step, row_step, column_step = volume.affine[:3, :3].T
    assert slice_step[2] > 0 and row_step[1] > 0 and column_step[0] > 0
    np.testing.assert_allclose(
        in_order(corners_of(volume.affine, volume.shape)), in_order(case.corners), atol=0.06
    )
    expected = ramp(grid(volume.affine, volume.shape))
    np.testing.assert_allclose(volume.array, expected, atol=case.tolerance_hu)


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_an_awkward_series_is_read_right(case: Readable, tmp_path: Path) -> None:
    case.write(tmp_path)
    volume = read_volume(tmp_path)
    assert tuple(flag.code for flag in volume.flags) == case.flags
    assert_every_voxel_is_in_its_place(volume, case)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("case", REFUSABLE, ids=lambda case: case.name)
def test_a_faulty_series_is_refused_and_the_fault_named(case: Refusable, tmp_path: Path) -> None:
    case.write(tmp_path)
    with pytest.raises(case.error, match=case.says) as caught:
        _ = read_volume(tmp_path).array
    message = str(caught.value)
    assert "SECRET" not in message and "Jane" not in message and str(tmp_path) not in message
