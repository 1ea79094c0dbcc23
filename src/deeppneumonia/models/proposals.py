"""Where to look more closely: anchors, the pyramid that scores them, and the choice among them.

Source: Song et al., TCBB 2021 (doi 10.1109/TCBB.2021.3065361), after NTS-Net (Yang et al.,
ECCV 2018). Everything is in pixels of the 448 px picture; a box is x0, y0, x1, y1.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deeppneumonia.models.backbone import full_precision


@dataclass(frozen=True, slots=True)
class AnchorLevel:
    """A grid of square anchors, one a cell."""

    stride_px: int
    side_px: int
    cells: int
    """Cells along one side of the picture."""


LEVELS = (
    AnchorLevel(stride_px=32, side_px=48, cells=14),  # p3, small
    AnchorLevel(stride_px=64, side_px=96, cells=7),  # p4, small
    AnchorLevel(stride_px=128, side_px=192, cells=4),  # p5, large
)
ANCHOR_COUNT = sum(level.cells**2 for level in LEVELS)  # 196 + 49 + 16 = 261
SMALL_COUNT = ANCHOR_COUNT - LEVELS[-1].cells ** 2  # 245; the large ones follow
PICKS_PER_GROUP = 3
DETAIL_COUNT = 2 * PICKS_PER_GROUP
"""K: three small details, the best first, then three large ones, the best first."""

BEST_LARGE = PICKS_PER_GROUP
"""Position of the best large detail among the K."""

MAX_OVERLAP = 0.1
"""Intersection over union above which the weaker of two boxes is dropped."""

PYRAMID_CHANNELS = 128


def anchor_boxes() -> Tensor:
    """(261, 4): level by level, row by row; centres at (cell + 0.5) * stride."""
    return torch.cat(
        [anchor_grid(one.cells, one.stride_px, one.side_px, one.side_px) for one in LEVELS]
    )


def anchor_grid(cells: int, stride_px: int, height_px: float, width_px: float) -> Tensor:
    """(cells * cells, 4): one anchor a cell, row by row; centres at (cell + 0.5) * stride."""
    centres = (torch.arange(cells) + 0.5) * stride_px
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    down, right = height_px / 2, width_px / 2
    return torch.stack([x - right, y - down, x + right, y + down], dim=-1).reshape(-1, 4)


def box_overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (A, 4) with others (B, 4), as (A, B)."""
    top_left = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=-1)  # (A, B)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)  # (A,)
    other_areas = (others[:, 2:] - others[:, :2]).prod(dim=-1)  # (B,)
    return shared / (areas[:, None] + other_areas[None, :] - shared)


def pick_apart(
    scores: Tensor, overlaps: Tensor, count: int, *, max_overlap: float = MAX_OVERLAP
) -> Tensor:
    """The best `count` anchors that non-maximum suppression leaves, for all pictures at once.

    Each step takes the best anchor that overlaps no earlier pick by more than `max_overlap`,
    which is what suppression followed by a choice of the best comes to. Where none is left,
    the anchor whose greatest overlap with the earlier picks is lowest is taken. Equal anchors:
    the higher score, then the lower position.

    Args:
        scores: (N, A).
        overlaps: (A, A) intersection over union.
        count: at most A.
        max_overlap: 0 to 1.

    Returns:
        (N, count) different positions, in the order in which they were picked.
    """
    nearest = torch.zeros_like(scores)  # (N, A): greatest overlap with an earlier pick
    # Not by len(), a plain number, which would hold an exported network to one number of pictures.
    picks = [scores[:, :0].long()]
    for _ in range(count):
        cost = nearest.where(nearest > max_overlap, 0)
        is_candidate = cost == cost.amin(dim=1, keepdim=True)
        pick = scores.masked_fill(~is_candidate, -torch.inf).argmax(dim=1)  # (N,)
        nearest = torch.maximum(nearest, overlaps[pick])
        nearest = nearest.scatter(1, pick[:, None], torch.inf)
        picks.append(pick[:, None])
    return torch.cat(picks, dim=1)


def pick_details(
    scores: Tensor,
    overlaps: Tensor,
    small: int = SMALL_COUNT,
    counts: tuple[int, int] = (PICKS_PER_GROUP, PICKS_PER_GROUP),
) -> Tensor:
    """Positions (N, K) of the best small and the best large of scored anchors (N, A).

    Args:
        scores: (N, A).
        overlaps: (A, A) intersection over union.
        small: so many anchors are small; the large ones follow.
        counts: how many small ones are wanted, and how many large ones.
    """
    best_small = pick_apart(scores[:, :small], overlaps[:small, :small], counts[0])
    best_large = pick_apart(scores[:, small:], overlaps[small:, small:], counts[1]) + small
    return torch.cat([best_small, best_large], dim=1)


class AnchorPyramid(nn.Module, ABC):
    """Scores every anchor from the last map of the whole picture, and picks some of them.

    Runs in float32 under autocast too: in bfloat16 many scores would be equal.
    """

    anchors: Tensor
    overlaps: Tensor

    def __init__(self, map_channels: int, anchors: Tensor, shapes: Sequence[int]) -> None:
        """For anchors (A, 4) with so many shapes a cell on each of the three levels."""
        super().__init__()
        width = PYRAMID_CHANNELS
        self.down1 = nn.Conv2d(map_channels, width, 3, stride=1, padding=1)
        self.down2 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.down3 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.score1, self.score2, self.score3 = (nn.Conv2d(width, count, 1) for count in shapes)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("overlaps", box_overlaps(anchors, anchors), persistent=False)

    @abstractmethod
    def pick(self, scores: Tensor) -> Tensor:
        """Positions (N, K) of the picked ones among scored anchors (N, A)."""

    def score(self, feature_map: Tensor) -> Tensor:
        """From a map (N, M, 14, 14) to one score for each anchor, (N, A)."""
        with full_precision(feature_map):
            d1 = self.down1(feature_map.float()).relu()  # (N, 128, 14, 14)  D1
            d2 = self.down2(d1).relu()  # (N, 128, 7, 7)    D2
            d3 = self.down3(d2).relu()  # (N, 128, 4, 4)    D3
            scores = [
                self.score1(d1),
                self.score2(d2),
                self.score3(d3),
            ]  # (N, shapes, cells, cells)
            return torch.cat([level.flatten(1) for level in scores], dim=1)

    def forward(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """The K boxes (N, K, 4), without gradient, and their scores (N, K), with it."""
        scores = self.score(feature_map)  # (N, A)  s
        picks = self.pick(scores.detach())  # (N, K)
        return self.anchors[picks], scores.gather(1, picks)


class ProposalPyramid(AnchorPyramid):
    """Picks three small and three large squares of 261."""

    def __init__(self, map_channels: int) -> None:
        super().__init__(map_channels, anchor_boxes(), shapes=(1, 1, 1))

    def pick(self, scores: Tensor) -> Tensor:
        """Positions (N, K) of scored anchors (N, 261)."""
        return pick_details(scores, self.overlaps)
