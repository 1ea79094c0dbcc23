"""ResNet-18 and ResNet-50, with torchvision's state-dict keys.

Source: He et al., CVPR 2016 (arXiv 1512.03385), table 1. As in torchvision, the stride of a
bottleneck lies on its 3x3 convolution ("ResNet v1.5").
"""

from typing import ClassVar

from torch import Tensor, nn

from deeppneumonia.models.backbone import Backbone, initialise_convolutions

STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = make_shortcut(channels_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, width, H/stride, W/stride)."""
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return (x + shortcut).relu_()


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the width, and a shortcut."""

    expansion: ClassVar[int] = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = make_shortcut(channels_in, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 4 * width, H/stride, W/stride)."""
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return (x + shortcut).relu_()


def make_shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    """A 1x1 convolution where the shape changes; None where the input can be added as it is."""
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
    )


class ResNet(Backbone):
    """Stem and four stages of residual blocks; M = D = 512 (ResNet-18) or 2048 (ResNet-50)."""

    head_key = "fc"

    def __init__(
        self,
        name: str,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.name = name
        third, fourth, last = (width * block.expansion for width in STAGE_WIDTHS[1:])
        self.pyramid_channels = (third, fourth, last)
        self.map_channels = self.feature_count = last
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels_in = 64
        for number, (width, depth) in enumerate(zip(STAGE_WIDTHS, depths, strict=True), start=1):
            blocks = []
            for position in range(depth):
                stride = 2 if position == 0 and number > 1 else 1
                blocks.append(block(channels_in, width, stride))
                channels_in = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.feature_count, num_classes)
        initialise_convolutions(self)

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The stem and the four layers."""
        stem = (self.conv1, self.bn1, self.relu, self.maxpool)
        return (stem, *((self.get_submodule(f"layer{number}"),) for number in range(1, 5)))

    def pool(self, feature_map: Tensor) -> Tensor:
        """The mean over the map."""
        features: Tensor = self.avgpool(feature_map.float()).flatten(1)
        return features


def resnet18(num_classes: int) -> ResNet:
    """ResNet-18: 11.7 M parameters with 1000 classes."""
    return ResNet("resnet18", BasicBlock, (2, 2, 2, 2), num_classes)


def resnet50(num_classes: int) -> ResNet:
    """ResNet-50: 25.6 M parameters with 1000 classes."""
    return ResNet("resnet50", Bottleneck, (3, 4, 6, 3), num_classes)
