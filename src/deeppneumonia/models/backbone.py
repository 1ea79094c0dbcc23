"""What the networks ask of a backbone: five stages, a pooled vector, a head, and parts to freeze.

A backbone keeps torchvision's state-dict keys and shapes, so that files made for torchvision
load strictly.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

STAGE_COUNT = 5


def full_precision(values: Tensor) -> torch.autocast:
    """A context in which autocast is off: heads, scores and losses are cheap and stay float32."""
    return torch.autocast(values.device.type, enabled=False)


class Backbone(nn.Module, ABC):
    """A convolutional classifier, opened so that others can take its map and its features."""

    head_key: ClassVar[str]
    """Where the last linear layer lies in the state dict."""

    name: str
    """torchvision's name for the architecture."""

    pyramid_channels: tuple[int, int, int]
    """Channels of the maps of the last three stages."""

    map_channels: int
    """M, the last of these."""

    feature_count: int
    """D, the length of the pooled vector."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen_stages = 0
        self.is_batchnorm_frozen = False
        self.runner: Callable[[Tensor, int], tuple[Tensor, ...]] | None = None
        """Runs the stages in place of torch, as `last_maps` does; an inference engine sets it."""

    @abstractmethod
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Five groups of modules to be run in order, from pixels to the last map."""

    @abstractmethod
    def pool(self, feature_map: Tensor) -> Tensor:
        """From the last map (N, M, H, W) to features (N, D) in float32."""

    @property
    def head(self) -> nn.Module:
        """The linear layer from D features to C logits."""
        return self.get_submodule(self.head_key)

    def last_maps(self, pixels: Tensor, count: int) -> tuple[Tensor, ...]:
        """From normalised pixels (N, 3, S, S) to the maps of the last `count` stages, in order."""
        if self.runner is not None:
            return self.runner(pixels, count)
        maps = []
        for number, stage in enumerate(self.stages()):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen_stages):
                for module in stage:
                    pixels = module(pixels)
            maps.append(pixels)
        return tuple(maps[-count:])

    def feature_map(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (N, 3, S, S) to the last map (N, M, S/32, S/32)."""
        return self.last_maps(pixels, 1)[0]

    def forward(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (N, 3, S, S) to logits (N, C)."""
        logits: Tensor = self.head(self.pool(self.feature_map(pixels)))
        return logits

    def freeze_stages(self, count: int) -> None:
        """Stop the first `count` stages from learning and let the others learn.

        A frozen stage runs without a gradient graph, which saves its memory and its backward
        pass, and in eval mode, so that the same picture always gives the same map.

        Args:
            count: 0 none, 1 the stem, 2 the stem and the first block, ... 5 all but the head.
        """
        if not 0 <= count <= STAGE_COUNT:
            raise ValueError(f"count must be 0 to {STAGE_COUNT} stages, not {count}")
        self.frozen_stages = count
        for number, stage in enumerate(self.stages()):
            for module in stage:
                module.requires_grad_(number >= count)
        self.train(self.training)

    def freeze_batchnorm(self) -> None:
        """Normalise by the stored statistics from now on, in training too.

        The statistics of a small batch are noise, and those of a batch of whole pictures differ
        from those of details and of zooms, which go through the same backbone: so says the list
        of faults of the published training. Scale and shift still learn. Weights whose
        statistics do not fit the pictures should run some batches in train mode first.
        """
        self.is_batchnorm_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Train or eval mode, except for what is frozen: that stays in eval mode."""
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            for module in stage:
                module.eval()
        if self.is_batchnorm_frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def initialise_convolutions(backbone: nn.Module) -> None:
    """Random start for ReLU networks: He et al., ICCV 2015 (arXiv 1502.01852), by fan-out."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
