"""EfficientNet-Lite0: a tenth of the multiplications of a ResNet-50.

Source: Tan and Le, ICML 2019 (arXiv 1905.11946), table 1, as its authors lightened it for small
processors: no squeeze-and-excitation, ReLU6, and a stem and a last layer that do not scale. The
state-dict keys and the padding are those of the published ImageNet file, which was trained in
TensorFlow: a stride of two pads the right and the lower edge alone.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, initialise_convolutions

STEM_CHANNELS = 32

GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, side of the depthwise kernel, stride of the first, expansion, channels."""

STAGE_ENDS = (1, 3, 5, 11, 16)
"""The blocks after which a map has S/2, S/4, S/8, S/16 and S/32 cells a side."""

NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01


class InvertedResidual(nn.Module):
    """1x1 up, depthwise, 1x1 down, and a shortcut where the shape stays."""

    def __init__(
        self, channels_in: int, channels_out: int, side: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = channels_in * expansion
        self.is_expanded = expansion > 1
        if self.is_expanded:
            self._expand_conv = nn.Conv2d(channels_in, width, 1, bias=False)
            self._bn0 = _norm(width)
        self._depthwise_conv = SameConv2d(width, width, side, stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = nn.Conv2d(width, channels_out, 1, bias=False)
        self._bn2 = _norm(channels_out)
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H/stride, W/stride)."""
        inner = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.is_expanded else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)), inplace=True)
        inner = self._bn2(self._project_conv(inner))
        result: Tensor = inner + x if self.has_shortcut else inner
        return result


class SameConv2d(nn.Conv2d):
    """As many cells as the input has, or half as many, padded as TensorFlow does (even sides)."""

    def __init__(
        self, channels_in: int, channels_out: int, side: int, stride: int, groups: int = 1
    ) -> None:
        even = stride == 1
        super().__init__(
            channels_in,
            channels_out,
            side,
            stride,
            padding=side // 2 if even else 0,
            groups=groups,
            bias=False,
        )
        least = side // 2 - 1
        self.edges = () if even else (least, least + 1, least, least + 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H/stride, W/stride)."""
        return super().forward(F.pad(x, self.edges) if self.edges else x)


class EfficientNetLite(Backbone):
    """Stem, sixteen blocks and a last 1x1 convolution, 4.7 M parameters with 1000 classes.

    M = D = 1280.
    """

    head_key = "_fc"
    name = "efficientnet-lite0"
    pyramid_channels = (40, 112, 1280)
    map_channels = 1280
    feature_count = 1280

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        self._bn0 = _norm(STEM_CHANNELS)
        channels_in = STEM_CHANNELS
        blocks = []
        for count, side, stride, expansion, channels in GROUPS:
            for position in range(count):
                first = stride if position == 0 else 1
                blocks.append(InvertedResidual(channels_in, channels, side, first, expansion))
                channels_in = channels
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(channels_in, self.map_channels, 1, bias=False)
        self._bn1 = _norm(self.map_channels)
        self._fc = nn.Linear(self.feature_count, num_classes)
        self.relu = nn.ReLU6(inplace=True)
        initialise_convolutions(self)

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The stem with the first block, then blocks up to where the map halves again."""
        blocks = list(self._blocks)
        parts = [blocks[start:end] for start, end in pairwise((0, *STAGE_ENDS))]
        first, *others, last = parts
        return (
            (self._conv_stem, self._bn0, self.relu, *first),
            *(tuple(part) for part in others),
            (*last, self._conv_head, self._bn1, self.relu),
        )

    def pool(self, feature_map: Tensor) -> Tensor:
        """The mean over the map."""
        return feature_map.float().mean(dim=(2, 3))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
