"""What the networks that look at details share: their loss, and how a crop is read.

[R], [N]: L = CE(z_raw) + CE(z) + mean_k L_k + L_rank. Source: Song et al., TCBB 2021
(doi 10.1109/TCBB.2021.3065361), after NTS-Net (Yang et al., ECCV 2018).
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone
from deeppneumonia.models.crops import crop_boxes
from deeppneumonia.models.losses import detail_losses, mean_detail_loss, ranking_loss
from deeppneumonia.models.network import Network, NetworkOutput

DETAIL_PX = 224
"""Side to which a detail is enlarged that the backbone reads by itself."""


class DetailNetwork(Network):
    """A network that proposes details, reads them, and answers from them and the whole picture."""

    ranked_pairs: ClassVar[float] = 1
    """L_rank is divided by this."""

    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__(name, backbone)
        self.dropout = nn.Dropout(0.5)

    def read_details(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Features (N, K, D) of boxes (N, K, 4), each enlarged to 224 px."""
        crops = crop_boxes(x, boxes, DETAIL_PX)  # (N K, 3, 224, 224)
        features = self.backbone.pool(self.backbone.feature_map(crops))  # (N K, D)
        return features.view(*boxes.shape[:2], -1)

    def loss(
        self,
        output: NetworkOutput,
        targets: Tensor,
        class_weights: Tensor | None = None,
        lesions: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """CE(z_raw) + CE(z) + mean_k L_k + L_rank; the last trains what proposes, and only that."""
        if output.image_logits is None or output.details is None:
            raise ValueError(f"{self.name} can only judge its own output, with details")
        details = output.details
        ranking = ranking_loss(details.scores, detail_losses(details.logits, targets))
        return (
            F.cross_entropy(output.image_logits, targets, class_weights)
            + F.cross_entropy(output.logits, targets, class_weights)
            + mean_detail_loss(details.logits, targets, class_weights)
            + ranking / self.ranked_pairs
        )
