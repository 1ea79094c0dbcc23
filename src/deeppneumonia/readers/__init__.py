"""From files of any accepted kind to one study, and to one volume whose geometry can be trusted."""

from deeppneumonia.readers.copies import deidentify
from deeppneumonia.readers.gate import NoStudyError
from deeppneumonia.readers.geometry import (
    GantryTiltError,
    MissingSlicesError,
    NotAxialError,
    VariableSpacingError,
)
from deeppneumonia.readers.isolation import (
    prepare_to_read,
    protection,
    read_study,
    read_tags,
    read_volume,
    sharing_a_child,
)
from deeppneumonia.readers.limits import UnsafeInputError
from deeppneumonia.readers.refusals import (
    MissingRescaleError,
    MixedPatientsError,
    MixedSeriesError,
    SeveralStudiesError,
    WrongModalityError,
)
from deeppneumonia.readers.text_headers import sha256_with_pixels

__all__ = [
    "GantryTiltError",
    "MissingRescaleError",
    "MissingSlicesError",
    "MixedPatientsError",
    "MixedSeriesError",
    "NoStudyError",
    "NotAxialError",
    "SeveralStudiesError",
    "UnsafeInputError",
    "VariableSpacingError",
    "WrongModalityError",
    "deidentify",
    "prepare_to_read",
    "protection",
    "read_study",
    "read_tags",
    "read_volume",
    "sha256_with_pixels",
    "sharing_a_child",
]
