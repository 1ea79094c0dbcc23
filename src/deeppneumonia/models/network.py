"""What every network of the house has in common: pictures in, logits out, its own grey scale."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, full_precision

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Grey/255 per channel: what torchvision's ImageNet files were trained with."""

IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class DetailOutput:
    """The K places that a network looked at more closely in each of N pictures."""

    boxes: Tensor
    """(N, K, 4): x0, y0, x1, y1 in picture pixels; may reach beyond the picture. No gradient."""

    scores: Tensor
    """(N, K): how promising each place looked before it was looked at; unbounded, no
    probability."""

    logits: Tensor
    """(N, K, C): what each place alone says."""

    weights: Tensor | None = None
    """(N, K), 0 to 1: how much of the answer came from each place; None where a network does not
    tell. What is missing to 1 came from the whole picture."""


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """A network's answer for N pictures and C classes; all in float32."""

    logits: Tensor
    """(N, C): the final answer; its softmax is the slice prediction."""

    features: Tensor
    """(N, D): the whole picture's pooled features, before any head."""

    image_logits: Tensor | None = None
    """(N, C): what the whole picture says without its details; None where it is the answer."""

    details: DetailOutput | None = None
    """None for a network that looks at the whole picture only."""

    lesion_logits: Tensor | None = None
    """(N, H, H): log odds that a cell of the picture holds a lesion; None where a network does not
    tell."""


class MapHandle(nn.Module):
    """Passes a map on as a tensor of its own: its gradient is that of what reads it from here.

    What reads the map elsewhere, such as the next stage of the backbone, has no part in it.
    """

    def forward(self, feature_map: Tensor) -> Tensor:
        """The same map (N, M, H, W)."""
        return feature_map.view_as(feature_map)


class Network(nn.Module, ABC):
    """A backbone with its pixel scale, its heads and its loss.

    Weights are float32; for speed run it under bfloat16 autocast. The activations are
    channels-last; `network.to(memory_format=torch.channels_last)` brings the weights in line.

    State dict: `backbone.*` with torchvision's keys, `pixel_mean`, `pixel_std`, and the heads
    that a network adds.
    """

    input_px: int = 448
    """Side of the pictures that the network was designed for."""

    maps_read: ClassVar[int] = 1
    """The answer is made from so many of the backbone's last maps."""

    takes_any_size: bool = True
    """False where no other side than `input_px` will do."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__()
        self.name = name
        self.backbone = backbone
        self.image_map = MapHandle()
        self.register_buffer("pixel_mean", torch.tensor(IMAGENET_MEAN))
        self.register_buffer("pixel_std", torch.tensor(IMAGENET_STD))

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """Look at pictures (N, 1, S, S), grey 0 to 255, as uint8 or float, and answer."""
        return self.answer(*self.look(pictures))

    def look(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The first part of a forward pass: what `answer` takes, made by the backbone.

        Args:
            pictures: (N, 1, S, S), grey 0 to 255; S is `input_px` where no other size will do.
        """
        if not self.takes_any_size and pictures.shape[-1] != self.input_px:
            raise ValueError(f"{self.name} reads {self.input_px} px, not {pictures.shape[-1]} px")
        pixels = self.normalise(pictures)
        return pixels, self.backbone.last_maps(pixels, self.maps_read)

    @abstractmethod
    def answer(self, pixels: Tensor, maps: tuple[Tensor, ...]) -> NetworkOutput:
        """The second part of a forward pass.

        Args:
            pixels: (N, 3, S, S), normalised.
            maps: the last `maps_read` that the backbone made of them, in the order of its stages.
        """

    @abstractmethod
    def loss(
        self,
        output: NetworkOutput,
        targets: Tensor,
        class_weights: Tensor | None = None,
        lesions: Tensor | None = None,
    ) -> Tensor:
        """One number to minimise.

        Args:
            output: of this network, for N pictures.
            targets: (N,) long, the position of each picture's class.
            class_weights: (C,); every cross-entropy is a mean weighted by the target's class.
            lesions: (N, H, H), the share of lesion in each cell, -1 where it is unknown; a
                network that does not tell lesions learns nothing from it.
        """

    @property
    def cam_layer(self) -> nn.Module:
        """Where the map of the whole picture passes that heat maps show, once an answer."""
        return self.image_map

    def normalise(self, pictures: Tensor) -> Tensor:
        """Grey pictures (N, 1, S, S) as (N, 3, S, S): (grey/255 - pixel_mean) / pixel_std."""
        if pictures.ndim != 4 or pictures.shape[1] != 1 or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(f"pictures must be (N, 1, S, S), not {tuple(pictures.shape)}")
        mean = self.pixel_mean.float().view(1, 3, 1, 1)
        std = self.pixel_std.float().view(1, 3, 1, 1)
        scaled = (pictures.float() / 255 - mean) / std  # (N, 3, S, S)
        return scaled.contiguous(memory_format=torch.channels_last)

    def set_pixel_scale(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Feed the backbone on the scale that its weights were trained with.

        Args:
            mean: of the three channels, in units of grey/255.
            std: likewise, each more than 0.
        """
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"three means and three positive deviations, not {mean} and {std}")
        self.pixel_mean.copy_(torch.tensor(mean))
        self.pixel_std.copy_(torch.tensor(std))

    def freeze_stages(self, count: int) -> None:
        """Stop the first `count` of the backbone's five stages from learning; see Backbone."""
        self.backbone.freeze_stages(count)

    def freeze_batchnorm(self) -> None:
        """Keep the statistics of every batch norm as they are; see Backbone."""
        self.backbone.freeze_batchnorm()


class PlainClassifier(Network):
    """A backbone that looks at the whole picture once: the published baselines."""

    def answer(self, pixels: Tensor, maps: tuple[Tensor, ...]) -> NetworkOutput:  # noqa: ARG002
        """From the last map (N, M, S/32, S/32); any S that the backbone can pool."""
        features = self.backbone.pool(self.image_map(maps[-1]))  # (N, D)
        with full_precision(features):
            logits = self.backbone.head(features)  # (N, C)
        return NetworkOutput(logits=logits, features=features)

    def loss(
        self,
        output: NetworkOutput,
        targets: Tensor,
        class_weights: Tensor | None = None,
        lesions: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """The cross-entropy of the logits."""
        return F.cross_entropy(output.logits, targets, class_weights)


def parameter_count(network: nn.Module) -> int:
    """How many numbers a network learns, frozen ones included; buffers are not counted."""
    return sum(parameter.numel() for parameter in network.parameters())
