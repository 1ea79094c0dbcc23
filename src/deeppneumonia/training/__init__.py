"""From labelled pictures to trained weights: one loop for every network, exactly resumable."""

from deeppneumonia.training.batches import Batch, Loaders, Trainable
from deeppneumonia.training.config import Optimizer, Precision, Schedule, TrainConfig
from deeppneumonia.training.heads import fit_linear_heads
from deeppneumonia.training.history import EpochRecord
from deeppneumonia.training.trainer import Trainer, TrainingResult

__all__ = [
    "Batch",
    "EpochRecord",
    "Loaders",
    "Optimizer",
    "Precision",
    "Schedule",
    "TrainConfig",
    "Trainable",
    "Trainer",
    "TrainingResult",
    "fit_linear_heads",
]
