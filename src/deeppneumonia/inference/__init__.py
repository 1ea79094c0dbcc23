"""From lung slices to a patient's diagnosis: run the network, average, and judge the answer."""

from deeppneumonia.inference.aggregation import calibrate, key_slices, mean_probabilities
from deeppneumonia.inference.engines import Engine, EngineOutput, TorchEngine
from deeppneumonia.inference.predictor import Predictor
from deeppneumonia.inference.trust import Judgement, judge

__all__ = [
    "Engine",
    "EngineOutput",
    "Judgement",
    "Predictor",
    "TorchEngine",
    "calibrate",
    "judge",
    "key_slices",
    "mean_probabilities",
]
