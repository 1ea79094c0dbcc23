"""The nouns of the field as frozen facts: they check themselves and know nothing above them."""

from deeppneumonia.domain.findings import (
    Box,
    Detail,
    KeySlice,
    LungSlice,
    ModelIdentity,
    PatientDiagnosis,
    PictureFrame,
    SaliencyMap,
    SlicePrediction,
    Status,
)
from deeppneumonia.domain.labels import ClassSet, Diagnosis, spelled, title_of
from deeppneumonia.domain.study import Series, SourceKind, Study
from deeppneumonia.domain.volume import (
    ArraySource,
    PixelSource,
    QualityFlag,
    Unit,
    Volume,
    volume_of,
)

__all__ = [
    "ArraySource",
    "Box",
    "ClassSet",
    "Detail",
    "Diagnosis",
    "KeySlice",
    "LungSlice",
    "ModelIdentity",
    "PatientDiagnosis",
    "PictureFrame",
    "PixelSource",
    "QualityFlag",
    "SaliencyMap",
    "Series",
    "SlicePrediction",
    "SourceKind",
    "Status",
    "Study",
    "Unit",
    "Volume",
    "spelled",
    "title_of",
    "volume_of",
]
