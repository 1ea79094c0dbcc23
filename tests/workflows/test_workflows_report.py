"""What a report says of its model comes from the checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest

from deeppneumonia.checkpoint import Checkpoint, OperatingLevel, Thresholds, load_checkpoint
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.report import operating_points, write_reading

NINETY = OperatingLevel(target=0.9, threshold=0.312, sensitivity=0.92, specificity=0.7)
NINETY_FIVE = OperatingLevel(target=0.95, threshold=0.0, sensitivity=1.0, specificity=0.0)


@pytest.fixture(scope="module")
def careful(checkpoint: Path) -> Checkpoint:
    """The random checkpoint with two operating points for covid."""
    loaded = load_checkpoint(checkpoint)
    thresholds = Thresholds(operating_points=(NINETY, NINETY_FIVE))
    return replace(loaded, metadata=replace(loaded.metadata, thresholds=thresholds))


def test_operating_points_are_named_with_the_side_on_which_the_patient_lies(
    careful: Checkpoint, dicom_study: Path, tmp_path: Path
) -> None:
    reading = Diagnoser(careful).read(dicom_study)
    covid = reading.diagnosis.probabilities["covid"]
    first, second = operating_points(careful, reading.diagnosis)
    assert first == (
        "Operating point for 90% sensitivity: a probability of COVID-19 pneumonia of 31.2% or more "
        "found 92% of the validation patients who have it and left 70% of the others alone; this "
        f"patient lies {'on or above' if covid >= 0.312 else 'below'} it."
    )
    assert second.endswith("this patient lies on or above it.")
    write_reading(reading, careful, tmp_path)
    assert "Operating point for 90% sensitivity" in (tmp_path / "report.html").read_text()


def test_a_refused_study_lies_on_no_side(careful: Checkpoint, tmp_path: Path) -> None:
    refused = Diagnoser(careful).diagnose(tmp_path / "nothing")
    sentence = operating_points(careful, refused)[0]
    assert sentence.endswith("left 70% of the others alone.")
