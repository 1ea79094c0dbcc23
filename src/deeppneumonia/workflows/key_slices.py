"""The key slices of a study as pictures, with a heat map of what spoke for the answer."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deeppneumonia.domain import (
    Diagnosis,
    KeySlice,
    LungSlice,
    PictureFrame,
    SaliencyMap,
    SlicePrediction,
)
from deeppneumonia.explanation import grad_cam_of
from deeppneumonia.inference import EngineOutput
from deeppneumonia.models import Network, NetworkOutput


def show_key_slices(
    network: Network,
    lung_slices: Sequence[LungSlice],
    predictions: Sequence[SlicePrediction],
    output: EngineOutput,
    keys: Sequence[int],
    label: str,
) -> tuple[KeySlice, ...]:
    """The slices with the indices `keys`, in that order.

    Args:
        network: whose backbone made the maps.
        lung_slices: all n of a study.
        predictions: of each.
        output: the engine's for all n, with the backbone's maps.
        keys: slice indices.
        label: what the heat maps speak for.
    """
    rows = [[one.slice_index for one in lung_slices].index(key) for key in keys]
    shown = [lung_slices[row] for row in rows]
    # A map for "healthy" would show where nothing is: no map is drawn.
    heats: Sequence[SaliencyMap | None] = (
        [None] * len(rows)
        if label == Diagnosis.HEALTHY
        else _heat_maps(network, shown, [kept[rows] for kept in output.maps], predictions, label)
    )
    return tuple(
        KeySlice(
            prediction=predictions[row],
            grey=lung_slices[row].grey,
            lung_mask=lung_slices[row].lung_mask,
            saliency=heat,
        )
        for row, heat in zip(rows, heats, strict=True)
    )


def _heat_maps(
    network: Network,
    shown: Sequence[LungSlice],
    maps: Sequence[torch.Tensor],
    predictions: Sequence[SlicePrediction],
    label: str,
) -> list[SaliencyMap]:
    """Heat from the maps that the answer was made from: the backbone does not run again."""
    pictures = torch.from_numpy(np.stack([one.picture for one in shown])[:, None])
    pixels = network.normalise(pictures.to(maps[-1].device))
    target = list(predictions[0].probabilities).index(label)
    heats = heat_of(
        lambda: network.answer(pixels, tuple(maps)),
        network.cam_layer,
        torch.full((len(shown),), target, device=pixels.device),
        pictures.shape[-1],
    )
    return [
        SaliencyMap(
            one.slice_index,
            label,
            within(_on_source(heat, one.frame, one.grey.shape), one.lung_mask),
        )
        for one, heat in zip(shown, heats, strict=True)
    ]


def heat_of(
    answer: Callable[[], NetworkOutput], layer: torch.nn.Module, targets: torch.Tensor, size_px: int
) -> NDArray[np.float32]:
    """What speaks for one class and against the others in each of N pictures.

    Of a network that tells lesions, each place counts as far as it is told to hold one (decision
    0084): beside its lesions evidence spreads thinly, and its highest point may lie anywhere.

    Args:
        answer: runs the layer and answers, row by row.
        layer: its output is (N, K, h, w).
        targets: (N,) long, the class that each heat map speaks for.
        size_px: S, the side of the network's picture.

    Returns:
        (N, S, S), 0 to 1, each map divided by its maximum; zero where nothing speaks for the class.

    Raises:
        ValueError: if the layer made no map of all the pictures.
    """
    answers: list[NetworkOutput] = []

    def evidence() -> torch.Tensor:
        answers.append(answer())
        return log_odds(answers[0].logits)

    heat = grad_cam_of(evidence, layer, targets, size_px)
    lesion = answers[0].lesion_logits
    if lesion is None:
        return heat
    told = lesion.detach().sigmoid()[:, None]
    sized = torch.nn.functional.interpolate(
        told, size=size_px, mode="bilinear", align_corners=False
    )[:, 0]
    return np.stack([_up_to_1(one) for one in heat * sized.cpu().numpy()])


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """(N, C): log of p / (1 - p) for each class: evidence for it and against the others.

    A logit alone may rise for every class at once, which changes no answer.
    """
    classes = logits.shape[1]
    others = logits[:, None, :].expand(-1, classes, -1)
    is_self = torch.eye(classes, dtype=torch.bool, device=logits.device)
    return logits - others.masked_fill(is_self, -torch.inf).logsumexp(dim=2)


def within(heat: NDArray[np.float32], lung_mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Heat (rows, columns) inside the lung, its maximum there 1: beside it lies no patient, but
    the background that the picture was filled with."""
    return _up_to_1(np.where(lung_mask, heat, 0))


def _up_to_1(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same heat, its maximum 1 where there is any."""
    most = float(heat.max(initial=0))
    return np.asarray(heat / most if most > 0 else heat, np.float32)


def _on_source(
    heat: NDArray[np.float32], frame: PictureFrame, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """A heat map of the picture, laid onto its source slice; 0 where the picture does not reach."""
    laid = cv2.warpAffine(heat, frame.matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR)
    return np.asarray(laid.clip(0, 1), np.float32)
