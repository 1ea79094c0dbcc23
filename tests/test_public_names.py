"""What the package offers by name, and that asking for the light part does not load torch."""

import subprocess
import sys

import pytest

import deeppneumonia

PUBLIC = {
    "Box", "CheckpointError", "ClassSet", "ConfigError", "DeepPneumoniaError", "Detail",
    "Diagnoser", "Diagnosis", "InputRefusedError", "LungSlice", "ManifestError",
    "PatientDiagnosis", "PreprocessConfig", "PreprocessingError", "QualityFlag", "Series",
    "SlicePrediction", "Status", "Study", "StudyError", "TrainingError", "Unit", "Volume",
    "WeightsError", "preprocess", "read_study", "read_volume",
}  # fmt: skip


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(deeppneumonia.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    assert getattr(deeppneumonia, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Diagnozer'"):
        deeppneumonia.Diagnozer  # noqa: B018


def test_importing_the_package_loads_neither_torch_nor_matplotlib() -> None:
    program = "import sys, deeppneumonia; print({'torch', 'matplotlib'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "set()", ran.stderr
