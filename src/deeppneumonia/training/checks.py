"""What must be true of the data before the first epoch, and what the loss needs to know of it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import TrainingError
from deeppneumonia.training.batches import Batch, Trainable
from deeppneumonia.training.config import TrainConfig
from deeppneumonia.training.loop import forward


def count_labels(batches: Iterable[Batch], num_classes: int, split: str) -> tuple[int, ...]:
    """Pictures per class.

    Args:
        batches: gone through once.
        num_classes: C; labels must be 0 to C - 1.
        split: its name, for the messages.

    Raises:
        TrainingError: if there are no pictures, or a label that the network has no output for.
    """
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for batch in batches:
        for label in batch.labels.tolist():
            if not 0 <= label < num_classes:
                raise TrainingError(
                    f"The {split} set has label {label}, but the network tells {num_classes} "
                    f"classes apart, 0 to {num_classes - 1}: make it with a class for each label."
                )
        counts += batch.labels.cpu().bincount(minlength=num_classes)
    if not counts.any():
        raise TrainingError(
            f"The {split} set gave no pictures, and one at least is needed: check the split."
        )
    return tuple(counts.tolist())


def check_validation(batches: Iterable[Batch], num_classes: int) -> None:
    """TrainingError unless a patient AUC, which decides when to stop, can be measured on it."""
    counts = count_labels(batches, num_classes, "validation")
    if 0 in counts:
        raise TrainingError(
            f"The validation set has pictures per class {list(counts)}, and its patient AUC, which "
            "decides when to stop, needs some of each class: split again, with more patients."
        )
    pairs = {pair for b in batches for pair in zip(b.groups, b.labels.tolist(), strict=True)}
    if torn := len(pairs) - len({group for group, _ in pairs}):
        raise TrainingError(
            f"{counted(torn, 'patient')} of the validation set with pictures of more than one "
            "label, where a patient has one: correct the labels, or the patient ids."
        )


def inverse_frequency(counts: Sequence[int]) -> Tensor:
    """Weights (C,) that let each class count the same, with a mean of 1 over the pictures.

    Raises:
        TrainingError: if a class has no picture, for which there is no such weight.

    >>> inverse_frequency([30, 10])
    tensor([0.6667, 2.0000])
    """
    if 0 in counts:
        raise TrainingError(
            f"The training set has pictures per class {list(counts)}, and class weights need at "
            "least one of each: split again, or set class_weights to false."
        )
    return sum(counts) / (len(counts) * torch.tensor(counts, dtype=torch.float32))


@torch.no_grad()
def count_classes(
    network: Trainable, batches: Iterable[Batch], config: TrainConfig, device: torch.device
) -> int:
    """How many classes the network tells apart, found by showing it one picture.

    Raises:
        TrainingError: if there is none.
    """
    network.train(False)
    for batch in batches:
        if len(batch.labels):
            return int(forward(network, batch.pictures[:1].to(device), config).logits.shape[1])
    raise TrainingError(
        "The validation set gave no pictures, and one at least is needed: check the split."
    )
