"""Small phantom patients and a small untrained network, made once for all tests of a file."""

from pathlib import Path

import pytest
import torch

from deeppneumonia.checkpoint import CheckpointMetadata, save_checkpoint
from deeppneumonia.domain import ClassSet
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import Form, write_cohort
from deeppneumonia.preprocessing import PreprocessConfig

CLASSES = ClassSet(("covid", "bacterial", "healthy"))


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of twelve quick phantom patients, four of each label, as picture folders."""
    folder = tmp_path_factory.mktemp("cohort") / "phantoms"
    write_cohort(folder, per_label=4, shape=(8, 128, 128), form=Form.PNG)
    return folder


@pytest.fixture(scope="session")
def dicom_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One quick phantom patient as a DICOM series."""
    folder = tmp_path_factory.mktemp("study")
    write_cohort(folder, per_label=1, first_seed=7, shape=(12, 128, 128), form=Form.DICOM)
    return folder / "PHANTOM-covid-7"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ResNet-18 that answers at random, but always the same."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    metadata = CheckpointMetadata(
        model="resnet18", classes=CLASSES, preprocessing=PreprocessConfig(picture_px=128)
    )
    save_checkpoint(path, create_model("resnet18", 3), metadata)
    return path
