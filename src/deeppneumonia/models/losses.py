"""What DRE-Net minimises: four losses of weight one, from image labels alone.

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
