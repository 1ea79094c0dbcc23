"""The linear heads of a network, fitted to their optimum while everything below them stands still.

Below a frozen backbone each head's cross-entropy is convex: a few seconds of L-BFGS find what
gradient descent would need many epochs for, and no learning rate has to suit the features' scale.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from deeppneumonia.training.batches import Batch

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

PENALTY = 0.003
"""Chosen on the validation patients of the first checkpoint."""


def fit_linear_heads(
    network: nn.Module,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    site_of: Mapping[str, str],
    penalty: float = PENALTY,
    bf16: bool = False,
) -> None:
    """Replace the weights of every nn.Linear with one output a class by their optimum.

    Minimises the cross-entropy, weighted so that every class counts the same, within it every
    site, and within that every patient (so that no hospital drowns another), plus an L2 penalty
    on the weights of the standardised inputs. A head that is asked several times a picture (one
    answer per detail) learns from all of them.

    Args:
        network: in evaluation mode; changed in place, the heads only.
        batches: gone through once.
        num_classes: how many outputs a head has; other linear layers are left alone.
        site_of: the site of each group of the batches.
        penalty: of L2, per unit of total weight; more is more cautious.
        bf16: run the network under bfloat16 autocast.
    """
    inputs: dict[str, list[Floats]] = defaultdict(list)
    labels: list[int] = []
    groups: list[str] = []
    heads = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == num_classes
    }
    hooks = [head.register_forward_hook(_collector(inputs[name])) for name, head in heads.items()]
    device = next(network.parameters()).device
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for batch in batches:
                network(batch.pictures.to(device))
                labels += batch.labels.tolist()
                groups += batch.groups
                logger.info("%d slices read for the heads", len(labels))
    finally:
        for hook in hooks:
            hook.remove()
    weights = balanced_weights(np.array(labels), groups, [site_of[group] for group in groups])
    asked = {name: head for name, head in heads.items() if inputs[name]}  # a backbone's may idle
    for name, head in asked.items():
        _fit(head, np.concatenate(inputs[name]), np.array(labels), weights, penalty)
        logger.info("head %s fitted on %d slices", name, len(labels))


def _collector(found: list[Floats]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def collect(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        found.append(inputs[0].float().cpu().numpy())

    return collect


def balanced_weights(
    labels: NDArray[np.int64], groups: Sequence[str], sites: Sequence[str]
) -> NDArray[np.float64]:
    """(n,), mean 1: equal sums for classes, for sites within a class, for groups within those.

    >>> balanced_weights(np.array([0, 0, 1]), ["a", "a", "b"], ["x", "x", "x"]).round(2)
    array([0.75, 0.75, 1.5 ])
    """
    group = np.unique(np.array(groups), return_inverse=True)[1]
    stratum = np.unique(
        [f"{c}/{s}" for c, s in zip(labels, sites, strict=True)], return_inverse=True
    )[1]
    share = 1 / np.bincount(group)[group]
    share = share / np.bincount(stratum, share)[stratum]
    weights: NDArray[np.float64] = share / np.bincount(labels, share)[labels]
    normed: NDArray[np.float64] = weights / weights.mean()
    return normed


def _fit(
    head: nn.Linear,
    inputs: Floats,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    penalty: float,
) -> None:
    """Multinomial logistic regression on standardised inputs, folded back into the layer."""
    repeats = inputs[0].size // inputs.shape[-1]  # K for (n, K, D), 1 for (n, D)
    flat = inputs.reshape(-1, inputs.shape[-1])
    mean, scale = flat.mean(axis=0), flat.std(axis=0) + 1e-3
    each = np.repeat(weights / repeats, repeats)
    model = LogisticRegression(C=1 / (penalty * each.sum()), max_iter=1000)
    model.fit((flat - mean) / scale, np.repeat(labels, repeats), sample_weight=each)
    slope, offset = model.coef_, model.intercept_
    if len(slope) == 1:  # two classes: one row of log-odds for the second
        slope, offset = np.vstack([0 * slope, slope]), np.array([0.0, offset[0]])
    slope = slope / scale
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(slope))
        head.bias.copy_(torch.from_numpy(offset - slope @ mean))
