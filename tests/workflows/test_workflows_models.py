"""A checkpoint that somebody brings along is found again by its name."""

import shutil
from pathlib import Path

import pytest

from deeppneumonia.errors import CheckpointError
from deeppneumonia.files import sha256_of
from deeppneumonia.workflows.releases import import_checkpoint, open_checkpoint, survey


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPPNEUMONIA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def brought(checkpoint: Path, name: str, tmp_path: Path) -> Path:
    return Path(shutil.copy(checkpoint, tmp_path / name))


@pytest.mark.parametrize("name", ["hospital", "hospital-1.2"])
def test_an_imported_model_is_known_by_its_name(
    name: str, checkpoint: Path, tmp_path: Path
) -> None:
    import_checkpoint(brought(checkpoint, f"{name}.safetensors", tmp_path))
    assert open_checkpoint(name).sha256 == sha256_of(checkpoint)


def test_a_model_that_could_not_be_found_again_is_not_imported(
    checkpoint: Path, tmp_path: Path, home: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        import_checkpoint(brought(checkpoint, "hospital.bin", tmp_path))
    assert not home.exists()


@pytest.mark.parametrize("name", ["default", "drenet-6"])
def test_a_model_that_would_never_be_found_behind_a_released_one_is_not_imported(
    name: str, checkpoint: Path, tmp_path: Path, home: Path
) -> None:
    with pytest.raises(CheckpointError, match="name of a released model"):
        import_checkpoint(brought(checkpoint, f"{name}.safetensors", tmp_path))
    assert not home.exists()


def test_imported_models_are_listed_and_named_to_whoever_mistypes_one(
    checkpoint: Path, tmp_path: Path, home: Path
) -> None:
    import_checkpoint(brought(checkpoint, "hospital.safetensors", tmp_path))
    (home / "models" / "torn.safetensors").write_bytes(checkpoint.read_bytes()[:-1])
    found = {model["name"]: model["verified"] for model in survey() if not model["card"]}
    assert found == {"hospital": True, "torn": False}
    with pytest.raises(CheckpointError, match="hospital, torn"):
        open_checkpoint("hopsital")


@pytest.mark.parametrize("name", ["nothing", ""])
def test_a_name_that_stands_for_nothing_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"no model named '{name}'"):
        open_checkpoint(name)
