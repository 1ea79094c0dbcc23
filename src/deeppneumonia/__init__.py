"""DeepPneumonia: a chest CT study in, a diagnosis that a radiologist can check out.

>>> from deeppneumonia import Diagnoser
>>> diagnosis = Diagnoser.load().diagnose("ct_folder")  # doctest: +SKIP
>>> diagnosis.status, diagnosis.probabilities  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    from deeppneumonia.preprocessing import PreprocessConfig, preprocess
    from deeppneumonia.readers import read_study, read_volume
    from deeppneumonia.workflows.diagnose import Diagnoser

    __version__: str

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
"""Looked up when they are asked for, as the domain objects are: they bring decoders, OpenCV or
torch with them, and those numpy. The command line listens for Ctrl-C before any of it is loaded."""


def __getattr__(name: str) -> Any:
    """The version, or a public name from its room."""
    if name == "__version__":
        return import_module("importlib.metadata").version("deeppneumonia")
    if name in __all__:
        return getattr(import_module(_LATER.get(name, "deeppneumonia.domain")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
