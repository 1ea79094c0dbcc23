"""What training needs of data and of a network: batches in, logits and a loss out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some pictures with what is known about them."""

    pictures: Tensor
    """(N, 1, S, S) uint8."""

    labels: Tensor
    """(N,) int64, the class of each picture, from 0."""

    groups: Sequence[str]
    """N keys; pictures of one patient bear the same key and the same label."""

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or self.pictures.dtype != torch.uint8:
            raise ValueError(
                f"pictures must be (N, 1, S, S) uint8, not {tuple(self.pictures.shape)} "
                f"{self.pictures.dtype}"
            )
        if not len(self.pictures) == len(self.labels) == len(self.groups):
            raise ValueError(
                f"{len(self.pictures)} pictures, {len(self.labels)} labels and "
                f"{len(self.groups)} groups do not make a batch"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Loaders:
    """Where the batches come from; both can be gone through again and again."""

    train: Iterable[Batch]
    """Its `set_epoch(epoch)`, where it has one, is called before each epoch, the first being 1;
    order and augmentation must follow from its seed and that number alone, so that a resumed
    training sees what an unbroken one would have seen."""

    validation: Iterable[Batch]
    """The same pictures in the same order each time."""

    class_counts: Sequence[int] | None = None
    """Training pictures per class, for the class weights; None: counted by going through `train`
    once before the first epoch."""


class HasLogits(Protocol):
    """The output of a network, as far as training looks into it."""

    @property
    def logits(self) -> Tensor:
        """(N, C)."""
        ...


class Trainable(Protocol):
    """A torch module with a loss of its own: what can be trained here.

    Its `freeze_stages(n)` and `freeze_batchnorm()` are called once, when the config asks for them,
    and what they froze must stay at rest through `train(True)`.
    """

    def __call__(self, pictures: Tensor) -> Any:
        """`HasLogits` of (N, 1, S, S) uint8 pictures."""
        ...

    def loss(self, output: Any, targets: Tensor, class_weights: Tensor | None) -> Tensor:
        """What to minimise, as a scalar."""
        ...

    def train(self, mode: bool = True) -> Any: ...
    def to(self, *, memory_format: torch.memory_format) -> Any: ...
    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...
