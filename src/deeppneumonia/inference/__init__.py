"""From lung slices to a patient's diagnosis: run the network, average, and judge the answer."""

from deeppneumonia.inference.aggregation import calibrate, key_slices, mean_probabilities
from deeppneumonia.inference.engines import EngineOutput, TorchEngine, check_numbers
from deeppneumonia.inference.outliers import Distance, FeatureStatistics, fit_statistics
from deeppneumonia.inference.predictor import Predictor
from deeppneumonia.inference.trust import Judgement, distance_flags, judge, statistics_of

__all__ = [
    "Distance",
    "EngineOutput",
    "FeatureStatistics",
    "Judgement",
    "Predictor",
    "TorchEngine",
    "calibrate",
    "check_numbers",
    "distance_flags",
    "fit_statistics",
    "judge",
    "key_slices",
    "mean_probabilities",
    "statistics_of",
]
