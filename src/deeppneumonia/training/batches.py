"""What training needs of data and of a network: batches in, logits and a loss out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Batch(Protocol):
    """Some pictures with what is known about them; any class with these four will do."""

    @property
    def pictures(self) -> Tensor:
        """(N, 1, S, S) uint8; only the share of this process where `set_share` was called."""
        ...

    @property
    def labels(self) -> Tensor:
        """(N,) int64, the class of each picture, from 0."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """N keys; pictures of one patient bear the same key and the same label."""
        ...

    @property
    def lesions(self) -> Tensor | None:
        """(N, H, H): the share of lesion in each cell of a picture, 0 to 1, or -1 where nobody
        knows; None where no lesion was drawn. Labels alone are learned from then."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Loaders:
    """Where the batches come from; both can be gone through again and again.

    Where several processes train together, `set_share(share)` is called once, where a loader has
    it: `share(n)` is the slice of a batch of n pictures that this process wants. Labels and groups
    stay those of the whole batch. A loader without it makes all pictures in every process.
    """

    train: Iterable[Batch]
    """Its `set_epoch(epoch)`, where it has one, is called before each epoch, the first being 1;
    order and augmentation must follow from its seed and that number alone, so that a resumed
    training sees what an unbroken one would have seen."""

    validation: Iterable[Batch]
    """The same pictures in the same order each time."""

    class_counts: Sequence[int] | None = None
    """Training pictures per class, for the class weights; None: counted by going through `train`
    once before the first epoch."""


class Trainable(Protocol):
    """A torch module with a loss of its own: what can be trained here.

    Its `freeze_stages(n)` and `freeze_batchnorm()` are called once, when the config asks for them,
    and what they froze must stay at rest through `train(True)`.
    """

    def __call__(self, pictures: Tensor) -> Any:
        """For pictures (N, 1, S, S), uint8, an output with `logits` (N, C)."""
        ...

    def loss(
        self,
        output: Any,
        targets: Tensor,
        class_weights: Tensor | None,
        lesions: Tensor | None,
    ) -> Tensor:
        """What to minimise, as a scalar."""
        ...

    def train(self, mode: bool = True) -> Any: ...
    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...
