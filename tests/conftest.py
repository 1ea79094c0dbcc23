"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

REAL_DATA = Path(
    os.environ.get("DEEPPNEUMONIA_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT sets; a test that needs it is skipped, by name, where it is absent."""
    if not (REAL_DATA / "README.md").is_file():
        pytest.skip("real CT data are not beside this checkout (set DEEPPNEUMONIA_REAL_DATA)")
    return REAL_DATA
