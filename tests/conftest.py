"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

from deeppneumonia.phantoms import Form, write_cohort

REAL_DATA = Path(
    os.environ.get("DEEPPNEUMONIA_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT sets; a test that needs it is skipped, by name, where it is absent."""
    if not (REAL_DATA / "README.md").is_file():
        pytest.skip("real CT data are not beside this checkout (set DEEPPNEUMONIA_REAL_DATA)")
    return REAL_DATA


@pytest.fixture(scope="session")
def dicom_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One quick phantom patient as a DICOM series."""
    folder = tmp_path_factory.mktemp("study")
    write_cohort(folder, per_label=1, first_seed=7, shape=(12, 128, 128), form=Form.DICOM)
    return folder / "PHANTOM-covid-7"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ResNet-18 that answers at random, but always the same."""
    import torch  # here, for most tests need none

    from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
    from deeppneumonia.domain import ClassSet
    from deeppneumonia.models import create_model
    from deeppneumonia.preprocessing import PreprocessConfig

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    metadata = CheckpointMetadata(
        model="resnet18",
        classes=ClassSet(("covid", "bacterial", "healthy")),
        preprocessing=PreprocessConfig(picture_px=128),
    )
    save_checkpoint(path, create_model("resnet18", 3), metadata)
    return path
