"""Grad-CAM: where in a picture the evidence for one class lies, from any layer of any network.

In the form that weighs every cell of a map by its own gradient and not by the map's mean [2]:
what a cell adds to the answer, to first order. Where the answer is linear in the mean of the map,
as in ResNet and DRE-Net, it is Grad-CAM [1] itself; where it is not, the mean gradient of a channel
may paint cells that the answer was not made from.

Source: [1] Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization", ICCV 2017. [2] Draelos and Carin, "Use HiResCAM instead of Grad-CAM
for faithful explanations of convolutional neural networks", arXiv 2011.08891, 2020.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


def grad_cam_of(
    answer: Callable[[], Tensor], layer: nn.Module, targets: Tensor, size_px: int
) -> NDArray[np.float32]:
    """Draw the evidence for one class in each picture, at the picture's own size.

    A layer that runs more than once for an answer (on details, on a zoom) is taken at its first
    call for all N pictures. The network is left as it was: no hook, no gradient. Several threads
    may ask one network at a time.

    Args:
        answer: runs the layer and gives logits (N, C), row by row: a network in eval mode, or
            maps that were made before; what it says of a picture must not depend on the others.
        layer: its output is (N, K, h, w).
        targets: (N,) long, the class that each heat map speaks for.
        size_px: S, the side of the network's picture.

    Returns:
        (N, S, S), 0 to 1: each map divided by its maximum. A map without any positive evidence
        is zero everywhere.

    Raises:
        ValueError: if the layer made no map of all the pictures.
    """
    maps: list[Tensor] = []
    asking = get_ident()  # the layer's hooks run in whichever thread uses the network

    def cut_here(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        """Start the gradient at this map, so that nothing before it is ever differentiated."""
        is_ours = get_ident() == asking
        if not is_ours or maps or output.ndim != 4 or len(output) != len(targets):
            return None
        maps.append(output.detach().requires_grad_())
        return maps[0].clone()  # a layer behind may write into it

    handle = layer.register_forward_hook(cut_here)
    try:
        with _differentiable(targets.device):
            logits = answer()  # (N, C)  y
            if not maps:
                raise ValueError(f"the layer made no map (N, K, h, w) of {len(targets)} pictures")
            return _heat_from(logits, targets, maps[0], torch.Size((size_px, size_px)))
    finally:
        handle.remove()


@contextmanager
def _differentiable(device: torch.device) -> Iterator[None]:
    """Inside, gradients are kept whatever the caller has switched off, in full precision."""
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


def _heat_from(
    logits: Tensor, targets: Tensor, activations: Tensor, size: torch.Size
) -> NDArray[np.float32]:
    """Heat (N, S, S) of logits (N, C) that were made from activations (N, K, h, w)."""
    score = logits.gather(1, targets[:, None]).sum()  # rows do not touch each other
    (gradients,) = torch.autograd.grad(score, activations)  # (N, K, h, w)
    return _heat(activations.detach().float(), gradients.float(), size)


def _heat(activations: Tensor, gradients: Tensor, size: torch.Size) -> NDArray[np.float32]:
    """Maps (N, K, h, w) and their gradients as heat (N, S, S)."""
    heat = (gradients * activations).sum(dim=1, keepdim=True).relu()  # (N, 1, h, w)  [2], eq. 3
    heat = F.interpolate(heat, size=size, mode="bilinear", align_corners=False)[:, 0]
    most = heat.amax(dim=(1, 2), keepdim=True)  # (N, 1, 1)
    scaled: NDArray[np.float32] = torch.where(most > 0, heat / most, 0.0).cpu().numpy()
    return scaled
