"""The learning rate of each epoch, as a plain function of the config: nothing to save or resume."""

import math

from deeppneumonia.training.config import Schedule, TrainConfig


def learning_rate_at(config: TrainConfig, epoch: int) -> float:
    """The learning rate of an epoch; the first epoch is 1.

    With `steps`, a milestone of 60 lowers the rate from epoch 61 on. With `cosine`, warm-up epoch
    i of w has the rate times i / (w + 1), and the first epoch after it has the full rate.

    >>> config = TrainConfig(learning_rate=1.0, lr_milestones=(60, 100))
    >>> [round(learning_rate_at(config, epoch), 6) for epoch in (1, 60, 61, 101)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if not 1 <= epoch <= config.epochs:
        raise ValueError(f"epoch must lie in 1 to {config.epochs}, not {epoch}")
    if config.schedule is Schedule.STEPS:
        passed = sum(epoch > milestone for milestone in config.lr_milestones)
        return config.learning_rate * config.lr_factor**passed
    if epoch <= config.warmup_epochs:
        return config.learning_rate * epoch / (config.warmup_epochs + 1)
    progress = (epoch - 1 - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2
