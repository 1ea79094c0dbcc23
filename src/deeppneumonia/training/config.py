"""Everything that decides how a network is trained, as one frozen fact."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from deeppneumonia.errors import ConfigError


class Schedule(StrEnum):
    """How the learning rate falls from epoch to epoch."""

    STEPS = "steps"
    """Times `lr_factor` after each of `lr_milestones`."""

    COSINE = "cosine"
    """Up in `warmup_epochs` equal steps, then down half a cosine towards 0."""


class Optimizer(StrEnum):
    """What turns gradients into steps."""

    SGD = "sgd"
    """With momentum, as published."""

    ADAMW = "adamw"
    """Loshchilov and Hutter, ICLR 2019 (arXiv 1711.05101): steps that do not depend on the scale
    of the features, for few epochs and for starts whose features are large."""


class Keep(StrEnum):
    """Which epoch's weights a training hands over."""

    BEST = "best"
    """The one with the highest validation patient AUC."""

    LAST = "last"
    """The last one: where a schedule leads to rest, and validation patients are so few that their
    AUC chooses an epoch by chance."""


class Precision(StrEnum):
    """The number format of the forward pass; weights and losses are always float32."""

    OFF = "off"
    BF16 = "bf16"
    """bfloat16 autocast, on CPU and GPU alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train; the defaults are the published recipe of DRE-Net.

    Raises:
        ConfigError: for a value of the wrong kind or out of its range, by field name.
    """

    epochs: int = 120
    """Most epochs that are run, 1 or more."""

    batch_size: int = 4
    """Pictures per step; for whoever builds the loaders."""

    optimizer: Optimizer = Optimizer.SGD
    """What turns gradients into steps."""

    learning_rate: float = 8e-4
    """Before the schedule; more than 0."""

    backbone_rate: float = 1.0
    """The backbone's learning rate as a share of `learning_rate`: a pretrained one needs smaller
    steps than new heads. More than 0, at most 1."""

    momentum: float = 0.9
    """Decay of the averaged gradient (AdamW's first beta), 0 up to but not 1."""

    weight_decay: float = 1e-4
    """On every trained parameter, 0 or more: SGD's L2 penalty, or AdamW's decay per step and unit
    of learning rate."""

    schedule: Schedule = Schedule.STEPS
    """How the learning rate falls."""

    lr_milestones: tuple[int, ...] = (60, 100)
    """Epochs after which the rate is multiplied by `lr_factor`, rising; for `steps`."""

    lr_factor: float = 0.1
    """More than 0, at most 1; for `steps`."""

    warmup_epochs: int = 0
    """Epochs before the full rate is reached, fewer than `epochs`; for `cosine`."""

    class_weights: bool = True
    """Weigh each class by the inverse of its frequency among the training pictures."""

    patience: int = 20
    """Stop after so many epochs without a better validation patient AUC; 0 never stops."""

    keep: Keep = Keep.BEST
    """Which epoch's weights are handed over."""

    amp: Precision = Precision.OFF
    """Number format of the forward pass."""

    frozen_stages: int = 0
    """Stages of the backbone, from the picture upwards, that keep their start weights."""

    frozen_batchnorm: bool = False
    """Batch normalisation keeps its start statistics and scale."""

    weight_average: float = 0.0
    """Decay of the exponential moving average of the weights, below 1; 0 for none."""

    seed: int = 0
    """Of dropout and, through `set_epoch`, of whatever the loaders draw; 0 or more."""

    deterministic: bool = False
    """Allow only algorithms that give the same bits each time, at some cost in speed. On a GPU
    torch also asks for the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8."""

    max_steps_per_epoch: int | None = None
    """Cut each epoch of training (never the validation) to so many steps; None: no cut."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TrainConfig).items():
            if not _is_of(kind, getattr(self, name)):
                raise ConfigError(_found(self, name, f"a value of type {_name_of(kind)}"))
        for name, is_possible, expected in self._ranges():
            if not is_possible:
                raise ConfigError(_found(self, name, expected))

    def _ranges(self) -> tuple[tuple[str, bool, str], ...]:
        """(field, whether its value is possible, what is expected)."""
        steps, rising = self.max_steps_per_epoch, sorted(set(self.lr_milestones))
        return (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "a number above 0"),
            ("backbone_rate", 0 < self.backbone_rate <= 1, "above 0, at most 1"),
            ("momentum", 0 <= self.momentum < 1, "0 up to but not 1"),
            ("weight_decay", 0 <= self.weight_decay < float("inf"), "0 or more"),
            ("lr_milestones", list(self.lr_milestones) == rising, "epochs in rising order"),
            ("lr_milestones", min(rising, default=1) >= 1, "epochs from 1 on"),
            ("lr_factor", 0 < self.lr_factor <= 1, "above 0, at most 1"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, "0 up to but not `epochs`"),
            ("patience", self.patience >= 0, "0 (never stop early) or more"),
            ("frozen_stages", self.frozen_stages >= 0, "0 or more"),
            ("weight_average", 0 <= self.weight_average < 1, "0 (none) up to but not 1"),
            ("seed", self.seed >= 0, "0 or more"),
            ("max_steps_per_epoch", steps is None or steps >= 1, "1 or more, or left out"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, words and lists, as TOML and JSON know them; None is left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        return plain | {
            "optimizer": str(self.optimizer),
            "schedule": str(self.schedule),
            "amp": str(self.amp),
            "lr_milestones": list(self.lr_milestones),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; what is left out has its default.

        Raises:
            ConfigError: for an unknown name, or an impossible value.
        """
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(
                f"The training recipe names {', '.join(unknown)}, which is not known; "
                f"use names among {', '.join(known)}."
            )
        kinds = get_type_hints(cls)
        return cls(**{name: _read(name, kinds[name], value) for name, value in values.items()})


def _read(name: str, kind: Any, value: Any) -> Any:
    """A value out of TOML or JSON as the kind of its field; other kinds are left for the check."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        words = [str(word) for word in kind]
        if value not in words:
            raise ConfigError(
                f"The training recipe sets {name} to {value!r}; use one of {', '.join(words)}."
            )
        return kind(value)
    return tuple(value) if isinstance(value, list) else value


def _is_of(kind: Any, value: object) -> bool:
    """Whether a value is of a field's type; an int is a float, but a bool is no number."""
    if isinstance(kind, UnionType):
        return any(_is_of(part, value) for part in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(int, item) for item in value)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else kind)


def _name_of(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _found(config: TrainConfig, name: str, expected: str) -> str:
    found = getattr(config, name)
    return f"The training recipe sets {name} to {found!r}; it must be {expected}."
