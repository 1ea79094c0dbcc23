"""DenseNet-121, with torchvision's state-dict keys.

Source: Huang et al., CVPR 2017 (arXiv 1608.06993), table 1.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, initialise_convolutions

GROWTH = 32
BOTTLENECK = 4 * GROWTH
STEM_CHANNELS = 64
DEPTHS = (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """Adds 32 channels, made from all channels before it, to those channels."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_in + 32, H, W)."""
        new = self.conv1(self.relu1(self.norm1(x)))  # (N, 128, H, W)
        new = self.conv2(self.relu2(self.norm2(new)))  # (N, 32, H, W)
        return torch.cat([x, new], dim=1)


def make_block(channels_in: int, depth: int) -> nn.Sequential:
    """`depth` dense layers, named from denselayer1."""
    return nn.Sequential(
        OrderedDict(
            (f"denselayer{number + 1}", DenseLayer(channels_in + GROWTH * number))
            for number in range(depth)
        )
    )


def make_transition(channels_in: int) -> nn.Sequential:
    """Halves the channels and the width of the map."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels_in),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels_in, channels_in // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class DenseNet121(Backbone):
    """Stem and four dense blocks, 8.0 M parameters with 1000 classes; M = D = 1024."""

    head_key = "classifier"
    name = "densenet121"
    pyramid_channels = (256, 512, 1024)
    map_channels = 1024
    feature_count = 1024

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, STEM_CHANNELS, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(STEM_CHANNELS),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        channels = STEM_CHANNELS
        for number, depth in enumerate(DEPTHS, start=1):
            self.features.add_module(f"denseblock{number}", make_block(channels, depth))
            channels += GROWTH * depth
            if number < len(DEPTHS):
                self.features.add_module(f"transition{number}", make_transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        initialise_convolutions(self)

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The stem, and each dense block with the transition or the norm that follows it."""
        layers = list(self.features)
        return (tuple(layers[:4]), *(tuple(layers[at : at + 2]) for at in range(4, 12, 2)))

    def pool(self, feature_map: Tensor) -> Tensor:
        """The mean of the positive part of the map."""
        return F.adaptive_avg_pool2d(F.relu(feature_map.float()), 1).flatten(1)
