"""Every error that bad input can cause, as one family.

    DeepPneumoniaError              exit code 1
    ├── InputRefusedError           exit code 3: the input cannot be used, and the message says why
    │   ├── StudyError              a study or picture that cannot be read right
    │   ├── PreprocessingError      no usable lungs, or values that are not what they must be
    │   ├── ManifestError           a CSV of studies that cannot be trusted
    │   ├── CheckpointError         a model file that is damaged, foreign or made for another task
    │   ├── WeightsError            start weights that are missing or do not fit
    │   └── ConfigError             a recipe (TOML) with an unknown name or an impossible value
    └── TrainingError               training cannot start, go on or be resumed

Each message is one sentence or two: what was found, what was expected, what to do. Rooms may add
narrower classes below these where a caller wants to tell them apart. A programmer's bad argument
is a ValueError and not part of this tree.
"""


class DeepPneumoniaError(Exception):
    """Something that the person in front of the program can understand and act on."""

    exit_code = 1


class InputRefusedError(DeepPneumoniaError):
    """The input was understood well enough to say that it must not be used."""

    exit_code = 3


class StudyError(InputRefusedError):
    """A study, series or picture cannot be read, or cannot be read right."""


class PreprocessingError(InputRefusedError):
    """The slices hold no usable lungs, or values in the wrong unit."""


class ManifestError(InputRefusedError):
    """A manifest line is incomplete, contradictory or points nowhere."""


class CheckpointError(InputRefusedError):
    """A checkpoint is damaged, foreign, or made for other classes."""


class WeightsError(InputRefusedError):
    """Start weights are missing, damaged, or made for another network."""


class ConfigError(InputRefusedError):
    """A recipe names something unknown or asks for the impossible."""


class TrainingError(DeepPneumoniaError):
    """Training cannot start, go on or be resumed."""
