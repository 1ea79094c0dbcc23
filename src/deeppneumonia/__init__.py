"""DeepPneumonia: a chest CT study in, a diagnosis that a radiologist can check out.

>>> from deeppneumonia import Diagnoser
>>> diagnosis = Diagnoser.load().diagnose("ct_folder")  # doctest: +SKIP
>>> diagnosis.status, diagnosis.probabilities  # doctest: +SKIP
"""

from importlib import import_module
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

if TYPE_CHECKING:
    from deeppneumonia.preprocessing import PreprocessConfig, preprocess
    from deeppneumonia.readers import read_study, read_volume
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


_LATER = {
    "Diagnoser": "deeppneumonia.workflows.diagnose",
    "PreprocessConfig": "deeppneumonia.preprocessing",
    "preprocess": "deeppneumonia.preprocessing",
    "read_study": "deeppneumonia.readers",
    "read_volume": "deeppneumonia.readers",
}
"""Looked up when they are asked for: they bring decoders, OpenCV or torch with them."""


def __getattr__(name: str) -> Any:
    """One of `_LATER`, from its room."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
