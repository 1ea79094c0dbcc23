"""DRE-Net in one backbone pass: details pooled from a feature pyramid, read by learned attention.

What it keeps of DRE-Net (Song et al., TCBB 2021, doi 10.1109/TCBB.2021.3065361): proposals that
are ranked by how well each detail alone tells the class, K = 6 details, three small and three
large, and an answer from details and picture together. What differs: the pyramid runs both ways
(Lin et al., CVPR 2017), details are pooled from its map instead of being cut out of the picture
(RoIAlign, He et al., ICCV 2017), there is no zoom stream, and learned attention says how much
each detail and the picture count (gated, Ilse et al., ICML 2018). New is a map of lesion, learned
from masks where there are some: the pyramid is read only as far as that map says lesion, so that
the answer and its heat map come from the same places.
"""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import Backbone, full_precision
from deeppneumonia.models.crops import crop_boxes
from deeppneumonia.models.detail_network import DetailNetwork
from deeppneumonia.models.feature_pyramid import POOLED_STRIDE_PX, FeaturePyramid, SquareGrid
from deeppneumonia.models.losses import lesion_loss
from deeppneumonia.models.network import DetailOutput, NetworkOutput
from deeppneumonia.models.proposals import DETAIL_COUNT, PICKS_PER_GROUP, pick_details

WIDTH = 96
"""Channels of the pyramid, and length of every vector read from it."""

ROI_SAMPLES = 14
"""RoIAlign: points along a side of a detail, bilinear, averaged to a quarter of the detail."""

ATTENTION_UNITS = 64

RARE = -4.0
"""Log odds of lesion in a cell before anything is learned: most cells hold none."""

LEAST_TOLD = 1e-4
"""A square with less lesion told counts as one with so much."""


class DreNetFpn(DetailNetwork):
    """Details relation extraction on a feature pyramid: one backbone pass a picture.

    The answer is linear in what it is made of, z = sum_i w_i (W u_i) + b over the picture and its
    K details with sum_i w_i = 1, so that a weight says how much of the answer came from where.
    """

    input_px = 224
    maps_read = 3
    counts: ClassVar[tuple[int, int]] = (PICKS_PER_GROUP, PICKS_PER_GROUP)
    """Small and large details, K together."""

    ranked_pairs = DETAIL_COUNT * (DETAIL_COUNT - 1) // 2  # the sum over pairs drowned the others

    def __init__(self, name: str, backbone: Backbone, num_classes: int) -> None:
        super().__init__(name, backbone)
        self.pyramid = FeaturePyramid(backbone.pyramid_channels, WIDTH)
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        nn.init.constant_(cast(Tensor, self.lesion.bias), RARE)
        whole = backbone.feature_count + backbone.pyramid_channels[1]
        self.read_picture = _reader(whole + 2 * WIDTH)
        self.read_detail = _reader(4 * WIDTH)
        self.image_head = nn.Linear(WIDTH, num_classes)
        self.detail_head = nn.Linear(WIDTH, num_classes)
        self.attention = GatedAttention(WIDTH, ATTENTION_UNITS)
        self.relation = nn.Linear(WIDTH, num_classes)

    def answer(self, pixels: Tensor, maps: tuple[Tensor, ...]) -> NetworkOutput:  # noqa: ARG002
        """From the maps of the last three stages alone; S is a multiple of 64."""
        return self.read(*maps)

    def read(self, third: Tensor, fourth: Tensor, last: Tensor) -> NetworkOutput:
        """Answer from the last three stages, whose maps have S/8, S/16 and S/32 cells a side."""
        features = self.backbone.pool(last)  # (N, D)  f
        fine, scores = self.pyramid(third, fourth, last)  # (N, W, S/8, S/8); (N, A)
        grid = SquareGrid.of(fourth.shape[-1], fine.shape[-1], fine.device)
        with full_precision(fine):
            lesion = self.lesion(fine.float())  # (N, 1, S/8, S/8)
            # A detail is proposed for the lesion told in it; the learned score adds to its odds.
            scores = scores + log_odds_in(grid, lesion[:, 0].detach())
            picks = pick_details(scores.detach(), grid.overlaps, grid.small, self.counts)  # (N, K)
            boxes = grid.boxes[picks]  # (N, K, 4)
            # What is read of the map is read where the lesion is: so a heat map lies there too.
            fine = self.image_map(fine.float() * lesion.sigmoid())
            # The fourth stage alone tells mild disease from none better than the last one does.
            everywhere = [self.backbone.pool(fourth), features, *_mean_and_most(fine)]
            image = self.read_picture(torch.cat(everywhere, dim=1))  # (N, W)
            details = self.read_detail(pool_boxes(fine, boxes)).unflatten(0, picks.shape)
            parts = self.dropout(torch.cat([image[:, None], details], dim=1))  # (N, 1 + K, W)  u
            weights = self.attention(parts)  # (N, 1 + K)  w
            return NetworkOutput(
                logits=self.relation((weights[..., None] * parts).sum(dim=1)),  # (N, C)  z
                features=features,
                image_logits=self.image_head(parts[:, 0]),  # (N, C)  z_raw
                details=DetailOutput(
                    boxes=boxes,
                    scores=scores.gather(1, picks),
                    logits=self.detail_head(parts[:, 1:]),
                    weights=weights[:, 1:],
                ),
                lesion_logits=lesion[:, 0],
            )

    def loss(
        self,
        output: NetworkOutput,
        targets: Tensor,
        class_weights: Tensor | None = None,
        lesions: Tensor | None = None,
    ) -> Tensor:
        """That of every network with details, and where lesions were drawn, that they are told."""
        loss = super().loss(output, targets, class_weights)
        if lesions is None or output.lesion_logits is None:
            return loss
        return loss + lesion_loss(output.lesion_logits, lesions)


def log_odds_in(grid: SquareGrid, lesion: Tensor) -> Tensor:
    """Log odds (N, A) of the mean lesion told in every square, from its log odds in every cell."""
    mean: Tensor = grid.mean_in(lesion.sigmoid()).clamp(LEAST_TOLD, 1 - LEAST_TOLD)
    return mean.logit()


def _mean_and_most(fine: Tensor) -> tuple[Tensor, Tensor]:
    """(N, W) twice: the mean of each channel over the picture, and the most that a cell has."""
    return fine.mean(dim=(2, 3)), fine.amax(dim=(2, 3))


class GatedAttention(nn.Module):
    """How much each of several vectors counts, from what it holds."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, units)
        self.gate = nn.Linear(width, units)
        self.score = nn.Linear(units, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        """Weights (N, n) of vectors (N, n, W): 0 to 1, a picture's sum to 1."""
        return self.scores(vectors).softmax(dim=1)

    def scores(self, vectors: Tensor) -> Tensor:
        """(..., n) of vectors (..., n, W): what the softmax over them makes weights of."""
        hidden = self.content(vectors).tanh() * self.gate(vectors).sigmoid()
        found: Tensor = self.score(hidden).squeeze(-1)
        return found


def pool_boxes(fine: Tensor, boxes: Tensor) -> Tensor:
    """RoIAlign: boxes (N, K, 4) in picture pixels, each as (N K, 4 W), a mean for each quarter.

    Beyond the picture lie zeros.
    """
    samples = crop_boxes(fine, boxes / POOLED_STRIDE_PX, ROI_SAMPLES)
    return F.adaptive_avg_pool2d(samples, 2).flatten(1)


def _reader(length: int) -> nn.Sequential:
    """From features of any scale, each standardised over the pictures, to a vector."""
    return nn.Sequential(nn.BatchNorm1d(length, affine=False), nn.Linear(length, WIDTH), nn.ReLU())
