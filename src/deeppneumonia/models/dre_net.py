"""DRE-Net: the whole picture, six details and one zoom, read together.

Source: Song et al., TCBB 18(6):2775-2780, 2021 (doi 10.1109/TCBB.2021.3065361); symbols in the
comments are the paper's. Built from a description of the method. What differs from the
published system: dropout acts in training only, selection is batched and always gives K
details, batch-norm statistics can be frozen, class weights, any number of classes, any device.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, full_precision
from deeppneumonia.models.crops import crop_boxes
from deeppneumonia.models.detail_network import DetailNetwork
from deeppneumonia.models.network import DetailOutput, NetworkOutput
from deeppneumonia.models.proposals import BEST_LARGE, DETAIL_COUNT, ProposalPyramid

ZOOM_SOURCE_PX = 600
"""Side of the copy from which the zoom is cut."""


class DreNet(DetailNetwork):
    """Details relation extraction network; the three streams share one backbone.

    K = 6 details: three small, the best first, then three large, the best first. The zoom is
    the best large one. A picture costs 1 + 6/4 + 1 = 3.5 backbone passes at 448 px.

    Beyond the picture's edge a detail sees zeros on the normalised scale.
    """

    takes_any_size = False

    def __init__(self, name: str, backbone: Backbone, num_classes: int) -> None:
        super().__init__(name, backbone)
        features = backbone.feature_count
        self.proposals = ProposalPyramid(backbone.map_channels)
        self.detail_head = nn.Linear(features, num_classes)
        self.relation = nn.Linear((DETAIL_COUNT + 2) * features, num_classes)

    def answer(self, pixels: Tensor, maps: tuple[Tensor, ...]) -> NetworkOutput:
        """From pixels (N, 3, 448, 448) and their last map; no other size fits the anchors."""
        x = pixels  # (N, 3, 448, 448)  x
        feature_map = self.image_map(maps[-1])  # (N, M, 14, 14)  F
        image = self.backbone.pool(feature_map)  # (N, D)  f
        boxes, scores = self.proposals(feature_map.detach())  # (N, K, 4); (N, K)  s
        details = self.read_details(x, boxes)  # (N, K, D)  d_k
        zoom = self.read_zoom(x, boxes[:, BEST_LARGE : BEST_LARGE + 1])  # (N, D)  a
        with full_precision(x):
            everything = torch.cat([details.flatten(1), image, zoom], dim=1)  # (N, 8 D)  u
            return NetworkOutput(
                logits=self.relation(everything),  # (N, C)  z
                features=image,
                image_logits=self.backbone.head(self.dropout(image)),  # (N, C)  z_raw
                details=DetailOutput(boxes, scores, self.detail_head(details)),
            )

    def read_zoom(self, x: Tensor, box: Tensor) -> Tensor:
        """Features (N, D) of one box (N, 1, 4) a picture."""
        return self.backbone.pool(self.backbone.feature_map(cut_zoom(x, box)))


def cut_zoom(x: Tensor, box: Tensor) -> Tensor:
    """One box (N, 1, 4) of each picture, cut from a 600 px copy and enlarged to its full side."""
    side = x.shape[-1]
    copy = F.interpolate(x, ZOOM_SOURCE_PX, mode="bilinear", align_corners=False)
    return crop_boxes(copy, box * (ZOOM_SOURCE_PX / side), side)  # (N, 3, side, side)
