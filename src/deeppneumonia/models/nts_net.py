"""NTS-Net, the ancestor of DRE-Net: six proposals of any shape, four of them beside the picture.

Source: Yang et al., ECCV 2018, "Learning to Navigate for Fine-grained Classification" (arXiv
1809.00287), built from the description of the method. Boxes are x0, y0, x1, y1 in pixels of the
448 px picture. As in our DRE-Net dropout acts in training only, the choice is batched and always
gives six proposals, classes can be weighted and any number of them is possible.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deeppneumonia.models.backbone import Backbone, full_precision
from deeppneumonia.models.detail_network import DetailNetwork
from deeppneumonia.models.network import DetailOutput, NetworkOutput
from deeppneumonia.models.proposals import AnchorPyramid, anchor_grid, pick_apart

THIRD, TWO_THIRDS = 2 ** (1 / 3), 2 ** (2 / 3)
"""Steps between two octaves of size."""

RATIOS = (2 / 3, 1.0, 3 / 2)
"""Height over width."""

PROPOSAL_COUNT = 6
"""M: proposals that are looked at, judged and ranked."""

CONCATENATED = 4
"""K: how many of them, the best, join the picture in the final answer."""

MAX_OVERLAP = 0.25


@dataclass(frozen=True, slots=True)
class ShapedLevel:
    """A grid of cells, with an anchor of each scale and ratio on every one."""

    stride_px: int
    side_px: int
    cells: int
    """Cells along one side of the picture."""

    scales: tuple[float, ...]

    @property
    def shapes(self) -> list[tuple[float, float]]:
        """Height and width in pixels of the anchors of one cell: ratio by ratio, then by scale.

        All of one scale have the same area.
        """
        return [
            (self.side_px * scale * ratio**0.5, self.side_px * scale / ratio**0.5)
            for ratio in RATIOS
            for scale in self.scales
        ]


LEVELS = (
    ShapedLevel(stride_px=32, side_px=48, cells=14, scales=(THIRD, TWO_THIRDS)),
    ShapedLevel(stride_px=64, side_px=96, cells=7, scales=(THIRD, TWO_THIRDS)),
    ShapedLevel(stride_px=128, side_px=192, cells=4, scales=(1.0, THIRD, TWO_THIRDS)),
)
ANCHOR_COUNT = sum(level.cells**2 * len(level.shapes) for level in LEVELS)  # 1176 + 294 + 144


def shaped_anchors() -> Tensor:
    """(1614, 4): level by level, shape by shape, row by row; centres at (cell + 0.5) * stride."""
    return torch.cat(
        [
            anchor_grid(level.cells, level.stride_px, height, width)
            for level in LEVELS
            for height, width in level.shapes
        ]
    )


class Navigator(AnchorPyramid):
    """Picks six of the anchors, the best first."""

    def __init__(self, map_channels: int) -> None:
        super().__init__(map_channels, shaped_anchors(), [len(level.shapes) for level in LEVELS])

    def pick(self, scores: Tensor) -> Tensor:
        """Positions (N, 6) of scored anchors (N, 1614)."""
        return pick_apart(scores, self.overlaps, PROPOSAL_COUNT, max_overlap=MAX_OVERLAP)


class NtsNet(DetailNetwork):
    """Navigator, teacher and scrutinizer, sharing one backbone.

    A picture costs 1 + 6/4 = 2.5 backbone passes at 448 px. Beyond the picture's edge a detail
    sees zeros on the normalised scale; a detail that is not square is squeezed into one.
    """

    takes_any_size = False

    def __init__(self, name: str, backbone: Backbone, num_classes: int) -> None:
        super().__init__(name, backbone)
        features = backbone.feature_count
        self.navigator = Navigator(backbone.map_channels)
        self.teacher = nn.Linear(features, num_classes)
        self.scrutinizer = nn.Linear((CONCATENATED + 1) * features, num_classes)

    def answer(self, pixels: Tensor, maps: tuple[Tensor, ...]) -> NetworkOutput:
        """From pixels (N, 3, 448, 448) and their last map; no other size fits the anchors."""
        x = pixels  # (N, 3, 448, 448)
        feature_map = self.image_map(maps[-1])  # (N, M, 14, 14)
        image = self.backbone.pool(feature_map)  # (N, D)
        boxes, scores = self.navigator(feature_map.detach())  # (N, 6, 4); (N, 6)
        details = self.read_details(x, boxes)  # (N, 6, D)
        with full_precision(x):
            best = details[:, :CONCATENATED].flatten(1)  # (N, 4 D)
            return NetworkOutput(
                logits=self.scrutinizer(torch.cat([best, image], dim=1)),  # (N, C)
                features=image,
                image_logits=self.backbone.head(self.dropout(image)),  # (N, C)
                details=DetailOutput(boxes, scores, self.teacher(details)),
            )
