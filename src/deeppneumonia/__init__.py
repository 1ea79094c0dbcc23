"""DeepPneumonia: a chest CT study in, a diagnosis that a radiologist can check out.

>>> from deeppneumonia import Diagnoser
>>> diagnosis = Diagnoser.load().diagnose("ct_folder")  # doctest: +SKIP
>>> diagnosis.status, diagnosis.probabilities  # doctest: +SKIP
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from deeppneumonia.domain import (
    Box,
    ClassSet,
    Detail,
    Diagnosis,
    LungSlice,
    PatientDiagnosis,
    QualityFlag,
    Series,
    SlicePrediction,
    Status,
    Study,
    Unit,
    Volume,
)
from deeppneumonia.errors import (
    CheckpointError,
    ConfigError,
    DeepPneumoniaError,
    InputRefusedError,
    ManifestError,
    PreprocessingError,
    StudyError,
    TrainingError,
    WeightsError,
)
from deeppneumonia.preprocessing import PreprocessConfig, preprocess
from deeppneumonia.readers import read_study, read_volume

if TYPE_CHECKING:
    from deeppneumonia.workflows.diagnose import Diagnoser

__version__ = version("deeppneumonia")

__all__ = [
    "Box",
    "CheckpointError",
    "ClassSet",
    "ConfigError",
    "DeepPneumoniaError",
    "Detail",
    "Diagnoser",
    "Diagnosis",
    "InputRefusedError",
    "LungSlice",
    "ManifestError",
    "PatientDiagnosis",
    "PreprocessConfig",
    "PreprocessingError",
    "QualityFlag",
    "Series",
    "SlicePrediction",
    "Status",
    "Study",
    "StudyError",
    "TrainingError",
    "Unit",
    "Volume",
    "WeightsError",
    "preprocess",
    "read_study",
    "read_volume",
]


def __getattr__(name: str) -> Any:
    """`Diagnoser` is looked up when it is asked for, because it brings torch with it."""
    if name == "Diagnoser":
        from deeppneumonia.workflows.diagnose import Diagnoser

        return Diagnoser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
