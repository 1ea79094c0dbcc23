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
from deeppneumonia.models.losses import detail_losses, mean_detail_loss, ranking_loss
from deeppneumonia.models.network import DetailOutput, Network, NetworkOutput
from deeppneumonia.models.proposals import BEST_LARGE, DETAIL_COUNT, ProposalPyramid

DETAIL_PX = 224
"""Side to which every detail is enlarged."""

ZOOM_SOURCE_PX = 600
"""Side of the copy from which the zoom is cut."""


class DreNet(Network):
    """Details relation extraction network; the three streams share one backbone.

    K = 6 details: three small, the best first, then three large, the best first. The zoom is
    the best large one. A picture costs 1 + 6/4 + 1 = 3.5 backbone passes at 448 px.

    Beyond the picture's edge a detail sees zeros on the normalised scale.
    """

    takes_any_size = False

    def __init__(self, name: str, backbone: Backbone, num_classes: int) -> None:
        super().__init__(name, backbone)
        features = backbone.feature_count
        self.image_map = nn.Identity()  # Grad-CAM's handle: details and zoom do not pass here
        self.proposals = ProposalPyramid(backbone.map_channels)
        self.dropout = nn.Dropout(0.5)
        self.detail_head = nn.Linear(features, num_classes)
        self.relation = nn.Linear((DETAIL_COUNT + 2) * features, num_classes)

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """Look at pictures (N, 1, 448, 448), grey 0 to 255; no other size fits the anchors."""
        if pictures.shape[-1] != self.input_px:
            raise ValueError(f"{self.name} reads {self.input_px} px, not {pictures.shape[-1]} px")
        x = self.normalise(pictures)  # (N, 3, 448, 448)  x
        feature_map = self.image_map(self.backbone.feature_map(x))  # (N, M, 14, 14)  F
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

    def read_details(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Features (N, K, D) of boxes (N, K, 4), each enlarged to 224 px."""
        crops = crop_boxes(x, boxes, DETAIL_PX)  # (N K, 3, 224, 224)
        features = self.backbone.pool(self.backbone.feature_map(crops))  # (N K, D)
        return features.view(*boxes.shape[:2], -1)

    def read_zoom(self, x: Tensor, box: Tensor) -> Tensor:
        """Features (N, D) of one box (N, 1, 4) a picture."""
        return self.backbone.pool(self.backbone.feature_map(cut_zoom(x, box)))

    def loss(
        self, output: NetworkOutput, targets: Tensor, class_weights: Tensor | None = None
    ) -> Tensor:
        """CE(z_raw) + CE(z) + mean_k L_k + L_rank; the last trains the proposals only."""
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
        """The whole picture's last map F; the details' and the zoom's maps do not pass it."""
        return self.image_map


def cut_zoom(x: Tensor, box: Tensor) -> Tensor:
    """One box (N, 1, 4) of each picture, cut from a 600 px copy and enlarged to its full side."""
    side = x.shape[-1]
    copy = F.interpolate(x, ZOOM_SOURCE_PX, mode="bilinear", align_corners=False)
    return crop_boxes(copy, box * (ZOOM_SOURCE_PX / side), side)  # (N, 3, side, side)
