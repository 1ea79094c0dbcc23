"""What DRE-Net minimises: four losses of weight one, from image labels alone; and one for masks.

[R], [N]: L = CE(z_raw) + CE(z) + mean_k L_k + L_rank, with L_k the cross-entropy of detail k.
Source: Song et al., TCBB 2021, after NTS-Net (Yang et al., ECCV 2018).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def detail_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """L_k, (N, K): the unweighted cross-entropy of each detail's logits (N, K, C)."""
    n, k, classes = logits.shape
    flat = F.cross_entropy(
        logits.reshape(n * k, classes), targets.repeat_interleave(k), reduction="none"
    )
    return flat.view(n, k)


def mean_detail_loss(logits: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
    """mean_k L_k over all N * K details, weighted by the class of their picture."""
    n, k, classes = logits.shape
    return F.cross_entropy(
        logits.reshape(n * k, classes), targets.repeat_interleave(k), class_weights
    )


def ranking_loss(scores: Tensor, losses: Tensor) -> Tensor:
    """L_rank: the proposal scores should fall in the order in which the details' losses rise.

    The mean over pictures of the sum, over ordered pairs (i, j) of details with L_j > L_i, of
    max(0, 1 - s_i + s_j). Equal losses ask for nothing.

    Args:
        scores: (N, K), s; the gradient goes here.
        losses: (N, K), L; no gradient goes here.

    >>> ranking_loss(torch.tensor([[2.0, 1.5]]), torch.tensor([[0.1, 0.7]]))
    tensor(0.5000)
    """
    losses = losses.detach()
    is_pair = losses[:, None, :] > losses[:, :, None]  # (N, i, j): L_j > L_i
    hinge = (1 - scores[:, :, None] + scores[:, None, :]).relu()  # (N, i, j)
    return torch.where(is_pair, hinge, 0).sum() / len(scores)


LESION_WEIGHT = 3.0
"""A cell with lesion counts as much as so many without: most cells hold none."""

ENTROPY_SHARE = 10.0
"""Cell by cell the entropy is small beside a whole picture's; this brings it to its height."""


def lesion_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """How far the lesion told in each cell is from the lesion that was drawn; a scalar.

    Cross-entropy over all known cells, and for pictures with a lesion 1 - Dice (Milletari et al.,
    3DV 2016), so that a small one counts as much as a large one.

    Args:
        logits: (N, H, H), log odds.
        shares: (N, H, H), 0 to 1 lesion in the cell, -1 where it is unknown.
    """
    is_known = shares >= 0
    drawn = shares.clamp(min=0)
    entropy = F.binary_cross_entropy_with_logits(
        logits, drawn, reduction="none", pos_weight=logits.new_tensor(LESION_WEIGHT)
    )
    told = logits.sigmoid() * is_known
    area = drawn.sum(dim=(1, 2))  # (N,), cells
    overlap = 2 * (told * drawn).sum(dim=(1, 2)) + 1
    missed = 1 - overlap / (told.sum(dim=(1, 2)) + area + 1)  # (N,)
    pictures = is_known.any(dim=2).any(dim=1).sum().clamp(min=1)
    mean_entropy = (entropy * is_known).sum() / is_known.sum().clamp(min=1)
    return ENTROPY_SHARE * mean_entropy + missed[area > 0].sum() / pictures
