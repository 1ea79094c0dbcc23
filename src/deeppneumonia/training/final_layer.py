"""What a network's last layer reads, and label-free ways to settle a network at a new hospital."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeppneumonia.errors import ConfigError
from deeppneumonia.training.anchored import LinearHead

BATCH = 4
NORMALISATION_BATCH = 8

Progress = Callable[[int, int], None]
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network made of n pictures."""

    inputs: NDArray[np.float32]
    """(n, D): what its last layer was given."""

    features: NDArray[np.float32]
    """(n, F): the whole picture's pooled features."""


@dataclass
class _Watched:
    """What one layer was given and gave in the last forward pass."""

    given: Tensor | None = None
    gave: Tensor | None = None

    def note(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.given, self.gave = inputs[0], output


def find_final_layer(network: nn.Module, picture: NDArray[np.uint8]) -> str:
    """Name of the nn.Linear whose output is the network's answer, found by asking it once.

    Args:
        network: in evaluation mode; gives an object with `logits`.
        picture: (side, side).

    Raises:
        ConfigError: if the answer is not the plain output of a linear layer.
    """
    seen = {name: _Watched() for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    hooks = [network.get_submodule(name).register_forward_hook(s.note) for name, s in seen.items()]
    try:
        with torch.inference_mode():
            logits = network(_tensor(picture[None], network)).logits
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in seen.items():
        if layer.gave is not None and torch.equal(layer.gave.float(), logits.float()):
            return str(name)
    raise ConfigError(
        f"The network {getattr(network, 'name', type(network).__name__)} does not end in a linear "
        f"layer, which is what fine-tuning refits: train it on the new patients with a recipe."
    )


def head_of(network: nn.Module, layer: str) -> LinearHead:
    """The layer's weights as they are."""
    linear = _linear(network, layer)
    return LinearHead(*(t.detach().cpu().double().numpy() for t in (linear.weight, linear.bias)))


def with_head(network: nn.Module, layer: str, head: LinearHead) -> None:
    """Put a head into the network."""
    linear = _linear(network, layer)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(head.weight))
        linear.bias.copy_(torch.from_numpy(head.bias))


def read_pictures(
    network: nn.Module,
    layer: str,
    pictures: NDArray[np.uint8],
    progress: Progress | None = None,
) -> Seen:
    """What a network makes of pictures (n, side, side), n of 1 or more, on the way to its answer.

    Args:
        network: in evaluation mode; gives an object with `features`.
        layer: name of its last linear layer.
        pictures: grey levels.
        progress: called with (pictures done, pictures in all).
    """
    watched = _Watched()
    hook = network.get_submodule(layer).register_forward_hook(watched.note)
    inputs, features = [], []
    try:
        for start, batch in _batches(pictures, BATCH, network):
            with torch.inference_mode():
                output = network(batch)
            assert watched.given is not None
            inputs.append(watched.given.float().cpu().numpy())
            features.append(output.features.float().cpu().numpy())
            if progress:
                progress(min(start + BATCH, len(pictures)), len(pictures))
    finally:
        hook.remove()
    return Seen(np.concatenate(inputs), np.concatenate(features))


def has_batch_norm(network: nn.Module) -> bool:
    """Whether there are statistics that could be replaced."""
    return bool(_batch_norms(network))


def with_statistics_of(network: N, pictures: NDArray[np.uint8]) -> N:
    """A copy whose batch norms have the statistics of these pictures; no label is used.

    Source: Li et al. 2016, Revisiting Batch Normalization for Practical Domain Adaptation.
    """
    adapted = deepcopy(network)
    for norm in _batch_norms(adapted):
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        nn.Module.train(norm, True)
    with torch.inference_mode():
        for _, batch in _batches(pictures, NORMALISATION_BATCH, adapted):
            adapted(batch)
    return adapted.eval()


def _batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _linear(network: nn.Module, layer: str) -> nn.Linear:
    found = network.get_submodule(layer)
    if not isinstance(found, nn.Linear):
        raise ValueError(f"{layer} is no linear layer")
    return found


def _batches(
    pictures: NDArray[np.uint8], size: int, network: nn.Module
) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(pictures), size):
        yield start, _tensor(pictures[start : start + size], network)


def _tensor(pictures: NDArray[np.uint8], network: nn.Module) -> Tensor:
    device = next(network.parameters()).device
    return torch.from_numpy(np.ascontiguousarray(pictures[:, None])).to(device)
