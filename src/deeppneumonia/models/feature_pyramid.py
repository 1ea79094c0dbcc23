"""A feature pyramid with one score per square, on any picture size: where `drenet-fpn` looks.

Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017: lateral 1x1, the
coarser map doubled and added, 3x3 against aliasing; a coarser level by stride. Squares as in
DRE-Net's `proposals`, of the same three sides.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deeppneumonia.models.backbone import full_precision
from deeppneumonia.models.proposals import anchor_grid, box_overlaps

STRIDES_PX = (16, 32, 64)
POOLED_STRIDE_PX = 8
"""Of the finest map, from which details are pooled and lesions are told; no squares lie on it."""

SIDE_IN_STRIDES = 1.5
"""Squares of 24, 48 and 96 px, of a 224 px picture the same shares as the published 48, 96 and
192 px are of 448: the first two sizes are small details, the last large ones."""


class FeaturePyramid(nn.Module):
    """Four levels from a backbone's last three maps, and a score for every square on three."""

    def __init__(self, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        # Batch norm: the CT start's features are large, and most of each is common to all pictures.
        third, fourth, last = channels
        self.lateral3 = _lateral(third, width)
        self.lateral4 = _lateral(fourth, width)
        self.lateral5 = _lateral(last, width)
        self.smooth3 = nn.Conv2d(width, width, 3, padding=1)
        self.smooth4 = nn.Conv2d(width, width, 3, padding=1)
        self.smooth5 = nn.Conv2d(width, width, 3, padding=1)
        self.coarser = nn.Conv2d(width, width, 3, stride=2, padding=1)
        # Standardised, so that no step of the ranking loss moves a score further than its margin.
        self.standards = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for _ in STRIDES_PX)
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in STRIDES_PX)

    def forward(self, third: Tensor, fourth: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The finest level (N, W, S/8, S/8), and scores (N, A) level by level, row by row.

        The scores' gradient stops at the levels: the ranking loss teaches the scores alone.
        """
        top = self.lateral5(last)
        middle = self.lateral4(fourth) + _doubled(top, fourth)
        level5 = self.smooth5(top).relu()
        level4 = self.smooth4(middle).relu()
        level3 = self.smooth3(self.lateral3(third) + _doubled(middle, third)).relu()
        levels = (level4.detach(), level5.detach(), self.coarser(level5.detach()).relu())
        with full_precision(level4):  # in bfloat16 many scores would be equal
            scores = [
                score(standard(level.float()) / level.shape[1] ** 0.5).flatten(1)
                for score, standard, level in zip(self.scores, self.standards, levels, strict=True)
            ]
        return level3, torch.cat(scores, dim=1)


def _lateral(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width))


def _doubled(coarse: Tensor, finer: Tensor) -> Tensor:
    """A map brought to the size of the finer one below it."""
    return F.interpolate(coarse, size=finer.shape[-2:], mode="nearest")


@dataclass(frozen=True, slots=True)
class SquareGrid:
    """Every square that is scored, for one picture size."""

    boxes: Tensor
    """(A, 4): x0, y0, x1, y1 in picture pixels, level by level, row by row."""

    overlaps: Tensor
    """(A, A) intersection over union."""

    covers: Tensor
    """(A, P, P): how much of each square lies in each cell of the finest map, which has P cells a
    side; the parts of a square that lie in the picture sum to 1."""

    small: int
    """So many squares are small; the large ones follow."""

    @staticmethod
    def of(cells: int, pooled_cells: int, device: torch.device) -> "SquareGrid":
        """The grid of a picture whose finest level of squares has so many cells a side.

        Args:
            cells: of the finest level of squares, a side.
            pooled_cells: of the finest map, a side.
            device: where the grid is to lie.
        """
        boxes = [level_squares(cells, stride).to(device) for stride in STRIDES_PX]
        everything = torch.cat(boxes)
        return SquareGrid(
            everything,
            box_overlaps(everything, everything),
            _covers(everything, pooled_cells),
            len(everything) - len(boxes[-1]),
        )

    def mean_in(self, plane: Tensor) -> Tensor:
        """The mean of a map (N, P, P) in every square, (N, A)."""
        return plane.flatten(1) @ self.covers.flatten(1).T


def _covers(boxes: Tensor, cells: int) -> Tensor:
    """What share of the inner part of boxes (A, 4) lies in each cell, (A, cells, cells)."""
    edges = torch.arange(cells + 1, device=boxes.device) * POOLED_STRIDE_PX

    def along(low: Tensor, high: Tensor) -> Tensor:
        inside = torch.minimum(high[:, None], edges[1:]) - torch.maximum(low[:, None], edges[:-1])
        return inside.clamp(min=0)  # (A, cells), pixels

    shared = along(boxes[:, 1], boxes[:, 3])[:, :, None] * along(boxes[:, 0], boxes[:, 2])[:, None]
    return shared / shared.sum(dim=(1, 2), keepdim=True)


def level_squares(finest_cells: int, stride_px: int) -> Tensor:
    """The squares of one level, where the finest has so many cells a side."""
    cells = -(-finest_cells * STRIDES_PX[0] // stride_px)  # rounded up, as a strided map is
    side_px = SIDE_IN_STRIDES * stride_px
    return anchor_grid(cells, stride_px, side_px, side_px)
