"""The ramp CT of `awkward/ramp_ct.py` as fixtures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ramp_ct import COLUMN_MM, COLUMNS, ROW_MM, ROWS, SLICE_MM, chest, grid, ramp, save

from deeppneumonia.readers import study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The ramp as a folder of DICOM files."""
    return save(chest(), tmp_path / "ct")


@pytest.fixture
def known(folder: Path) -> NDArray[np.int16]:
    """What is in it, read without a child."""
    return study.read_volume(folder).array


@pytest.fixture
def shows_the_ramp() -> Callable[..., None]:
    """A check that a volume is in standard display and holds the right HU in every voxel."""

    def check(volume: Any, count: int = 12) -> None:
        assert volume.unit == "HU"
        assert volume.shape == (count, ROWS, COLUMNS)
        assert volume.spacing_mm == pytest.approx((SLICE_MM, ROW_MM, COLUMN_MM), abs=1e-4)
        slice_step, row_step, column_step = volume.affine[:3, :3].T
        assert slice_step[2] > 0 and row_step[1] > 0 and column_step[0] > 0
        places = grid(volume.affine, volume.shape)
        np.testing.assert_allclose(volume.array, ramp(places), atol=1)  # a slope of 2 rounds

    return check
