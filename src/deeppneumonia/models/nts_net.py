"""NTS-Net, the ancestor of DRE-Net: six proposals of any shape, four of them beside the picture.

Source: Yang et al., ECCV 2018, "Learning to Navigate for Fine-grained Classification" (arXiv
1809.00287), built from the description of the method. Boxes are x0, y0, x1, y1 in pixels of the
448 px picture. As in our DRE-Net dropout acts in training only, the choice is batched and always
gives six proposals, classes can be weighted and any number of them is possible.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, full_precision
from deeppneumonia.models.crops import crop_boxes
from deeppneumonia.models.losses import detail_losses, mean_detail_loss, ranking_loss
from deeppneumonia.models.network import DetailOutput, Network, NetworkOutput
from deeppneumonia.models.proposals import PYRAMID_CHANNELS, box_overlaps, pick_apart

THIRD, TWO_THIRDS = 2 ** (1 / 3), 2 ** (2 / 3)
"""Steps between two octaves of size."""

RATIOS = (2 / 3, 1.0, 3 / 2)
"""Height over width."""

PROPOSAL_COUNT = 6
"""M: proposals that are looked at, judged and ranked."""

CONCATENATED = 4
"""K: how many of them, the best, join the picture in the final answer."""

MAX_OVERLAP = 0.25
DETAIL_PX = 224


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
    anchors = []
    for level in LEVELS:
        centres = (torch.arange(level.cells) + 0.5) * level.stride_px
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        for height, width in level.shapes:
            corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            anchors.append(torch.stack(corners, dim=-1).reshape(-1, 4))
    return torch.cat(anchors)


class Navigator(nn.Module):
    """Scores every anchor from the last map of the whole picture, and picks six of them.

    Runs in float32 under autocast too: in bfloat16 many scores would be equal.
    """

    anchors: Tensor
    overlaps: Tensor

    def __init__(self, map_channels: int) -> None:
        super().__init__()
        width = PYRAMID_CHANNELS
        self.down1 = nn.Conv2d(map_channels, width, 3, stride=1, padding=1)
        self.down2 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.down3 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.score1, self.score2, self.score3 = (
            nn.Conv2d(width, len(level.shapes), 1) for level in LEVELS
        )
        anchors = shaped_anchors()
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("overlaps", box_overlaps(anchors, anchors), persistent=False)

    def score(self, feature_map: Tensor) -> Tensor:
        """From a map (N, M, 14, 14) to one score for each anchor, (N, 1614)."""
        with full_precision(feature_map):
            d1 = self.down1(feature_map.float()).relu()  # (N, 128, 14, 14)
            d2 = self.down2(d1).relu()  # (N, 128, 7, 7)
            d3 = self.down3(d2).relu()  # (N, 128, 4, 4)
            scores = [
                self.score1(d1),
                self.score2(d2),
                self.score3(d3),
            ]  # (N, shapes, cells, cells)
            return torch.cat([level.flatten(1) for level in scores], dim=1)

    def forward(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """The six boxes (N, 6, 4), without gradient, the best first, and their scores (N, 6)."""
        scores = self.score(feature_map)  # (N, 1614)
        picks = pick_apart(
            scores.detach(), self.overlaps, PROPOSAL_COUNT, max_overlap=MAX_OVERLAP
        )  # (N, 6)
        return self.anchors[picks], scores.gather(1, picks)


class NtsNet(Network):
    """Navigator, teacher and scrutinizer, sharing one backbone.

    A picture costs 1 + 6/4 = 2.5 backbone passes at 448 px. Beyond the picture's edge a detail
    sees zeros on the normalised scale; a detail that is not square is squeezed into one.
    """

    takes_any_size = False

    def __init__(self, name: str, backbone: Backbone, num_classes: int) -> None:
        super().__init__(name, backbone)
        features = backbone.feature_count
        self.image_map = nn.Identity()  # Grad-CAM's handle: details do not pass here
        self.navigator = Navigator(backbone.map_channels)
        self.dropout = nn.Dropout(0.5)
        self.teacher = nn.Linear(features, num_classes)
        self.scrutinizer = nn.Linear((CONCATENATED + 1) * features, num_classes)

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """Look at pictures (N, 1, 448, 448), grey 0 to 255; no other size fits the anchors."""
        if pictures.shape[-1] != self.input_px:
            raise ValueError(f"{self.name} reads {self.input_px} px, not {pictures.shape[-1]} px")
        x = self.normalise(pictures)  # (N, 3, 448, 448)
        feature_map = self.image_map(self.backbone.feature_map(x))  # (N, M, 14, 14)
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

    def read_details(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Features (N, 6, D) of boxes (N, 6, 4), each enlarged to 224 px."""
        crops = crop_boxes(x, boxes, DETAIL_PX)  # (N 6, 3, 224, 224)
        features = self.backbone.pool(self.backbone.feature_map(crops))  # (N 6, D)
        return features.view(*boxes.shape[:2], -1)

    def loss(
        self, output: NetworkOutput, targets: Tensor, class_weights: Tensor | None = None
    ) -> Tensor:
        """Four losses of weight 1: picture, scrutinizer, mean teacher, ranking of the navigator."""
        if output.image_logits is None or output.details is None:
            raise ValueError(f"{self.name} can only judge its own output, with details")
        details = output.details
        return (
            F.cross_entropy(output.image_logits, targets, class_weights)
            + F.cross_entropy(output.logits, targets, class_weights)
            + mean_detail_loss(details.logits, targets, class_weights)
            + ranking_loss(details.scores, detail_losses(details.logits, targets))
        )

    @property
    def cam_layer(self) -> nn.Module:
        """The whole picture's last map; the details' maps do not pass it."""
        return self.image_map
