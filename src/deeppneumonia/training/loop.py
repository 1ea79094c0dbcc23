"""One epoch of training and one of validation, the same for every network."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeppneumonia.errors import ConfigError, TrainingError
from deeppneumonia.evaluation import patient_auc
from deeppneumonia.training.averaging import WeightAverage
from deeppneumonia.training.batches import Batch, Trainable
from deeppneumonia.training.config import Optimizer, Precision, TrainConfig
from deeppneumonia.training.distributed import team
from deeppneumonia.training.schedule import learning_rate_at


@dataclass(frozen=True, slots=True)
class EpochOutcome:
    """What one pass over the training pictures came to."""

    loss: float
    """Mean over the pictures."""

    pictures_per_s: float


@dataclass(frozen=True, slots=True)
class Validation:
    """How good the network is on the validation pictures."""

    loss: float
    """Mean over the pictures."""

    auc: float
    """Patient level."""


@dataclass(slots=True)
class Answers:
    """What a network says of pictures, batch by batch."""

    labels: list[NDArray[np.int64]] = field(default_factory=list)
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def add(self, batch: Batch, logits: Tensor) -> None:
        """One more batch, with the network's (N, C) logits."""
        self.labels.append(batch.labels.cpu().numpy())
        self.probabilities.append(logits.float().softmax(dim=1).cpu().numpy())
        self.groups.extend(batch.groups)

    def auc(self) -> float:
        """Of the patients of all batches."""
        labels, probabilities = np.concatenate(self.labels), np.concatenate(self.probabilities)
        return patient_auc(labels, probabilities, self.groups)


MEMORY = {
    Optimizer.SGD: {"momentum": "momentum_buffer"},
    Optimizer.ADAMW: {"momentum": "exp_avg", "square": "exp_avg_sq", "count": "step"},
}
"""What an optimizer remembers of each parameter: our name for it, and torch's."""


def optimizer_for(network: Trainable, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that the config names; its groups know their share of the learning rate."""
    slow = pretrained_parts(network)
    shares: dict[float, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            shares[config.backbone_rate if name in slow else 1.0].append(parameter)
    groups = [{"params": members, "share": share} for share, members in shares.items()]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer is Optimizer.ADAMW:
        betas = (config.momentum, 0.999)
        return torch.optim.AdamW(groups, lr=rate, betas=betas, weight_decay=decay)
    return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, weight_decay=decay)


def pretrained_parts(network: Trainable) -> frozenset[str]:
    """The parameters of the backbone but for its head, which is always new."""
    backbone = getattr(network, "backbone", None)
    head = f"{getattr(backbone, 'head_key', None)}."
    inside = () if backbone is None else (name for name, _ in backbone.named_parameters())
    return frozenset(f"backbone.{name}" for name in inside if not name.startswith(head))


def as_buffer(saved: Tensor, parameter: nn.Parameter) -> Tensor:
    """What was saved, laid out as the parameter is; a count stays a single number."""
    if not saved.ndim:
        return saved.clone()
    return torch.empty_like(parameter).copy_(saved)


class Learner:
    """A network together with all that changes while it learns."""

    def __init__(
        self, network: Trainable, config: TrainConfig, class_weights: Tensor | None
    ) -> None:
        """Take over a network, already frozen where it must be.

        Args:
            network: trained in place, on the device where its parameters are.
            config: how.
            class_weights: (C,) factors of the loss; None for 1.
        """
        self.network = network
        self.config = config
        self.trained = {
            name: value for name, value in network.named_parameters() if value.requires_grad
        }
        if not self.trained:
            raise TrainingError(
                f"All parameters are frozen (frozen_stages is {config.frozen_stages}), and at "
                "least the last layer must be trained: freeze fewer stages."
            )
        self.device = next(iter(self.trained.values())).device
        self.team = team()
        self._shared = self.team.wrapped(network)
        self.class_weights = None if class_weights is None else class_weights.to(self.device)
        self.optimizer = optimizer_for(network, config)
        self.average = (
            WeightAverage(network, config.weight_average) if config.weight_average else None
        )

    def train_epoch(
        self, batches: Iterable[Batch], epoch: int, after_step: Callable[[], None]
    ) -> EpochOutcome:
        """Go once through the training pictures.

        Raises:
            TrainingError: if there are none, or a loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate_at(self.config, epoch)
        self.network.train(True)
        started, total, pictures = time.perf_counter(), 0.0, 0
        with self.team.as_one(self.network):
            for step, batch in enumerate(islice(batches, self.config.max_steps_per_epoch), 1):
                loss = self._step(batch)
                if not math.isfinite(loss):
                    where = f"step {step} of epoch {epoch}"
                    raise TrainingError(_not_finite(where, loss, self.config))
                total += loss * len(batch.labels)
                pictures += len(batch.labels)
                after_step()
        if not pictures:
            raise TrainingError(
                "The training set gave no pictures, and one at least is needed: check the split."
            )
        return EpochOutcome(total / pictures, pictures / (time.perf_counter() - started))

    def _step(self, batch: Batch) -> float:
        """Learn from one batch; its loss before the step. A loss that is not finite teaches not."""
        loss = self._loss_of(batch)[0]
        value = loss.item()
        if math.isfinite(value):
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if self.average:
                self.average.update(self.network)
        return value

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch], epoch: int) -> Validation:
        """Measure the network, or its weight average, on the validation pictures.

        Raises:
            TrainingError: if the loss is not finite.
        """
        total, answers = 0.0, Answers()
        self.network.train(False)
        with self.average.applied_to(self.network) if self.average else nullcontext():
            for batch in batches:
                loss, logits = self._loss_of(batch)
                total += loss.item() * len(batch.labels)
                answers.add(batch, logits)
        loss_per_picture = total / len(answers.groups)
        if not math.isfinite(loss_per_picture):
            where = f"the validation after epoch {epoch}"
            raise TrainingError(_not_finite(where, loss_per_picture, self.config))
        return Validation(loss_per_picture, answers.auc())

    def _loss_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(loss, logits) of a batch, of which each process of the team looks at its share."""
        self.team.batch = len(batch.labels)
        share = self.team.share(len(batch.labels))
        pictures = batch.pictures
        if len(pictures) == len(batch.labels):  # the loader knows of no team
            pictures = pictures[share]
        pictures = pictures.to(self.device, non_blocking=True)
        labels = batch.labels.to(self.device, non_blocking=True)
        output = self.team.gathered(forward(self._shared, pictures, self.config))
        lesions = None if batch.lesions is None else batch.lesions.to(self.device)
        return self.network.loss(output, labels, self.class_weights, lesions), output.logits

    def weights(self) -> Mapping[str, Tensor]:
        """The weights to validate, keep and use: averaged where the config says so."""
        return self.average.weights if self.average else self.network.state_dict()

    def capture(self) -> dict[str, Tensor]:
        """All that changed by learning, under the names of `TrainingState.tensors`."""
        parts: dict[str, Mapping[str, Tensor]] = {"weights": self.network.state_dict()}
        if self.average:
            parts["average"] = self.average.weights
            parts["steps"] = {"average": torch.tensor(self.average.steps)}
        for part, key in MEMORY[self.config.optimizer].items():
            buffers = {name: self.optimizer.state[p].get(key) for name, p in self.trained.items()}
            parts[part] = {name: value for name, value in buffers.items() if value is not None}
        return {f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Become what `capture` saw; ValueError if it saw another network."""
        own = {f"weights/{name}": value for name, value in self.network.state_dict().items()}
        saved = {name: value for name, value in tensors.items() if name.startswith("weights/")}
        if {n: v.shape for n, v in own.items()} != {n: v.shape for n, v in saved.items()}:
            raise ValueError("the weights are those of another network")
        for name, value in own.items():
            value.copy_(saved[name])
        if self.average:
            self.average.steps = int(tensors["steps/average"])
            for name, value in self.average.weights.items():
                value.copy_(tensors[f"average/{name}"])
        for part, key in MEMORY[self.config.optimizer].items():
            for name, parameter in self.trained.items():
                if (saved_one := tensors.get(f"{part}/{name}")) is not None:
                    self.optimizer.state[parameter][key] = as_buffer(saved_one, parameter)


def forward(network: Trainable, pictures: Tensor, config: TrainConfig) -> Any:
    """The network's output, in the config's number format."""
    is_bf16 = config.amp is Precision.BF16
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=is_bf16):
        return network(pictures)


def freeze(network: Trainable, config: TrainConfig) -> None:
    """Put those parts of the network to rest that the config names.

    Raises:
        ConfigError: if the network has no such parts.
    """
    if config.frozen_stages:
        freeze_stages = _method_of(network, "freeze_stages", "frozen_stages")
        try:
            freeze_stages(config.frozen_stages)
        except ValueError as error:
            raise ConfigError(
                f"The training recipe sets frozen_stages to {config.frozen_stages}, which the "
                f"network {_name_of(network)} refuses: {error}."
            ) from error
    if config.frozen_batchnorm:
        _method_of(network, "freeze_batchnorm", "frozen_batchnorm")()


def _method_of(network: Trainable, method: str, field: str) -> Callable[..., None]:
    found: Callable[..., None] | None = getattr(network, method, None)
    if found is None:
        raise ConfigError(
            f"The training recipe sets {field}, but the network {_name_of(network)} has nothing to "
            f"freeze so: leave {field} out, or use a network with {method}()."
        )
    return found


def _name_of(network: Trainable) -> str:
    return str(getattr(network, "name", type(network).__name__))


def _not_finite(where: str, loss: float, config: TrainConfig) -> str:
    advice = f"try a learning_rate below {config.learning_rate:g}"
    if config.amp is not Precision.OFF:
        advice += f", or amp = {str(Precision.OFF)!r}"
    return f"The loss is {loss} at {where}, and it must be a finite number: {advice}."
