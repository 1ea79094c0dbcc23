"""The one loop for all networks: train, validate, keep the best, stop in time, resume exactly."""

import logging
import time
from collections.abc import Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from deeppneumonia.errors import TrainingError
from deeppneumonia.files import write_whole
from deeppneumonia.training.batches import Loaders, Trainable
from deeppneumonia.training.checks import (
    check_validation,
    count_classes,
    count_labels,
    inverse_frequency,
)
from deeppneumonia.training.config import Keep, TrainConfig
from deeppneumonia.training.distributed import team
from deeppneumonia.training.history import EpochRecord, as_csv, as_picture, best_of, has_stalled
from deeppneumonia.training.loop import Learner, freeze
from deeppneumonia.training.schedule import learning_rate_at
from deeppneumonia.training.state import (
    TrainingState,
    check_same_config,
    epoch_of_weights,
    load_state,
    save_state,
    save_weights,
)
from deeppneumonia.training.surroundings import seed_epoch, step_bar, torch_settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a training came to."""

    best_epoch: int
    """The epoch whose weights were kept; the first is 1."""

    best_auc: float
    """Its validation patient AUC. Chosen on these patients, so too good for others."""

    history: tuple[EpochRecord, ...]
    """All epochs, the resumed ones included."""

    stopped_early: bool
    """Whether patience ran out before the epochs did."""

    best_weights: Path
    """safetensors file with the best epoch's state dict."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains any network that has logits and a loss."""

    progress: bool = True
    """Show a bar on stderr when it is a terminal."""

    def fit(
        self, network: Trainable, loaders: Loaders, config: TrainConfig, out_dir: Path
    ) -> TrainingResult:
        """Train until the epochs or the patience run out, or go on where a killed run ended.

        `out_dir` receives, after each epoch and each file whole: `last.safetensors` (from which a
        later call with the same arguments goes on), `best.safetensors`, `history.csv` and
        `learning_curve.png`. A run that was killed and resumed ends with the same weights and
        history as an unbroken one: bit by bit where the device repeats itself (`deterministic`).

        Started several times by torchrun, it trains in all processes together, with the result of
        one (see `distributed`); the first writes the files, in a folder that all can read. It may
        be resumed by another number of processes.

        Args:
            network: changed in place; comes back in evaluation mode with the best weights.
                Its start weights are the caller's, seed included.
            loaders: batches to train on and to validate on.
            config: how to train.
            out_dir: made where it is missing.

        Raises:
            ConfigError: if the network has no parts that the config wants frozen.
            TrainingError: if the data cannot be trained on, `out_dir` holds a state that does not
                fit or is damaged, or the loss is not finite. The last whole state stays.
        """
        device = next(parameter for _, parameter in network.named_parameters()).device
        with torch_settings(deterministic=config.deterministic, device=device):
            num_classes = count_classes(network, loaders.validation, config, device)
            check_validation(loaders.validation, num_classes)
            freeze(network, config)
            if team().size > 1:
                _set_shares(loaders)
            # torch's own type stubs do not know this argument of `to`
            cast(Any, network).to(memory_format=torch.channels_last)
            learner = Learner(network, config, _class_weights(loaders, config, num_classes))
            out_dir.mkdir(parents=True, exist_ok=True)
            return _Run(learner, loaders, config, out_dir, self.progress).to_the_end()


def _class_weights(loaders: Loaders, config: TrainConfig, num_classes: int) -> Tensor | None:
    if not config.class_weights:
        return None
    counts = loaders.class_counts
    if counts is None:
        _set_epoch(loaders, 1)
        counts = count_labels(loaders.train, num_classes, "training")
    return inverse_frequency(counts)


def _set_epoch(loaders: Loaders, epoch: int) -> None:
    if set_epoch := getattr(loaders.train, "set_epoch", None):
        set_epoch(epoch)


def _set_shares(loaders: Loaders) -> None:
    for loader in (loaders.train, loaders.validation):
        if set_share := getattr(loader, "set_share", None):
            set_share(team().share)


@dataclass(slots=True)
class _Run:
    """One call of `fit`."""

    learner: Learner
    loaders: Loaders
    config: TrainConfig
    out_dir: Path
    progress: bool
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def last(self) -> Path:
        return self.out_dir / "last.safetensors"

    @property
    def best(self) -> Path:
        return self.out_dir / "best.safetensors"

    def to_the_end(self) -> TrainingResult:
        if self.learner.team.is_first:
            for unfinished in self.out_dir.glob(".*.part"):  # what a killed run was about to write
                unfinished.unlink()
        if self.last.exists():
            self._resume()
        self.learner.team.wait()  # the first must not write while another looks
        first, started = len(self.history) + 1, time.perf_counter()
        while not self._is_over():
            self._one_epoch(len(self.history) + 1)
            self._save()
            self._log(time.perf_counter() - started, first)
        return self._result()

    def _is_over(self) -> bool:
        done = len(self.history) >= self.config.epochs
        return done or has_stalled(self.history, self.config.patience)

    def _one_epoch(self, epoch: int) -> None:
        seed_epoch(self.config.seed, epoch)
        _set_epoch(self.loaders, epoch)
        title = f"epoch {epoch}/{self.config.epochs}"
        is_wanted = self.progress and self.learner.team.is_first
        with step_bar(title, self._steps(), is_wanted=is_wanted) as after_step:
            outcome = self.learner.train_epoch(self.loaders.train, epoch, after_step)
            validation = self.learner.validate(self.loaders.validation, epoch)
        self.history.append(
            EpochRecord(
                epoch=epoch,
                learning_rate=learning_rate_at(self.config, epoch),
                training_loss=outcome.loss,
                validation_loss=validation.loss,
                validation_auc=validation.auc,
                pictures_per_s=round(outcome.pictures_per_s, 1),
            )
        )

    def _steps(self) -> int | None:
        """Steps in an epoch, where the loader knows."""
        train, cut = self.loaders.train, self.config.max_steps_per_epoch
        steps = len(train) if isinstance(train, Sized) else None
        return min(filter(None, (steps, cut)), default=None)

    def _kept(self) -> EpochRecord:
        """The epoch whose weights are handed over, as far as training has come."""
        return self.history[-1] if self.config.keep is Keep.LAST else best_of(self.history)

    def _save(self) -> None:
        """Make this epoch last. The state comes first: the other files can be made from it."""
        if self.learner.team.is_first:
            state = TrainingState(self.config.to_dict(), self.history, self.learner.capture())
            save_state(state, self.last)
        self._publish()

    def _publish(self) -> None:
        """Bring the files that follow from the state into line with it."""
        if not self.learner.team.is_first:
            return
        if self._kept().epoch == len(self.history):
            save_weights(self.learner.weights(), len(self.history), self.best)
        write_whole(self.out_dir / "history.csv", as_csv(self.history))
        write_whole(self.out_dir / "learning_curve.png", as_picture(self.history))

    def _resume(self) -> None:
        state = load_state(self.last)
        check_same_config(state, self.config, self.last)
        try:
            self.learner.restore(state.tensors)
        except ValueError as error:
            raise TrainingError(
                f"{self.last} cannot be resumed from: {error}. Train the network that it was "
                "made with, or name another output folder."
            ) from error
        self.history = list(state.history)
        self._publish()
        self.learner.team.wait()
        if epoch_of_weights(self.best) != self._kept().epoch:
            raise TrainingError(
                f"{self.best} does not hold the weights of epoch {self._kept().epoch}, the "
                f"{self.config.keep} one according to {self.last.name}: name another output folder."
            )
        logger.info("resumed after epoch %d of %d", len(self.history), self.config.epochs)

    def _log(self, seconds: float, first: int) -> None:
        record = self.history[-1]
        left = self.config.epochs - record.epoch
        logger.info(
            "epoch %d/%d: loss %.4f, validation AUC %.4f, %.1f pictures/s, at most %.0f s left",
            record.epoch,
            self.config.epochs,
            record.training_loss,
            record.validation_auc,
            record.pictures_per_s,
            left * seconds / (record.epoch - first + 1),
        )

    def _result(self) -> TrainingResult:
        """Hand over the best weights, in the network and in words."""
        self.learner.team.wait()  # until the first has written them
        network = self.learner.network
        network.load_state_dict(load_file(self.best))
        network.train(False)
        kept = self._kept()
        return TrainingResult(
            best_epoch=kept.epoch,
            best_auc=kept.validation_auc,
            history=tuple(self.history),
            stopped_early=len(self.history) < self.config.epochs,
            best_weights=self.best,
        )
