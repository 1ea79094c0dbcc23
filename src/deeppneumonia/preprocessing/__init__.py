"""From a volume to square pictures of its lungs: the only room that windows, masks or resizes."""

from deeppneumonia.preprocessing.burnt_in import text_flags
from deeppneumonia.preprocessing.config import Fill, Intensity, PreprocessConfig
from deeppneumonia.preprocessing.examination import (
    DroppedSlice,
    Examination,
    NoLungsError,
    examine,
    preprocess,
)
from deeppneumonia.preprocessing.input_checks import InputReport, check_input
from deeppneumonia.preprocessing.lungs import find_lungs
from deeppneumonia.preprocessing.slices import equal_slices
from deeppneumonia.preprocessing.windowing import (
    NotHounsfieldError,
    apply_window,
    in_lung_window,
    window_slice,
)

__all__ = [
    "DroppedSlice",
    "Examination",
    "Fill",
    "InputReport",
    "Intensity",
    "NoLungsError",
    "NotHounsfieldError",
    "PreprocessConfig",
    "apply_window",
    "check_input",
    "equal_slices",
    "examine",
    "find_lungs",
    "in_lung_window",
    "preprocess",
    "text_flags",
    "window_slice",
]
