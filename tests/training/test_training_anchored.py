"""The last layer refitted near what it was, and what it is given."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from deeppneumonia.errors import ConfigError
from deeppneumonia.models import create_model, list_models
from deeppneumonia.training.anchored import LinearHead, fit_anchored
from deeppneumonia.training.final_layer import (
    find_final_layer,
    has_batch_norm,
    head_of,
    read_pictures,
    with_head,
    with_statistics_of,
)
from deeppneumonia.training.span import Span

RNG = np.random.default_rng(0)
OLD = LinearHead(RNG.normal(size=(3, 5)), RNG.normal(size=3))
INPUTS = RNG.normal(size=(40, 5)).astype(np.float32) + 2
LABELS = np.tile([0, 2], 20)
EVEN = np.ones(40)


def fitted(penalty: float) -> LinearHead:
    return fit_anchored(OLD, INPUTS, LABELS, EVEN, present=[0, 2], penalties=[penalty])[0]


def test_the_fit_is_the_minimum_of_its_objective() -> None:
    """Against the same objective written out over all weights, at points around the solution."""
    penalty, found = 0.1, fitted(0.1)
    mean = INPUTS.mean(axis=0).astype(float)
    length = np.sqrt(((INPUTS - mean) ** 2).sum(axis=1).mean())

    def objective(head: LinearHead) -> float:
        logits = head.logits(INPUTS)[:, [0, 2]]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_p[np.arange(40), LABELS // 2].mean()
        slope = (head.weight - OLD.weight) * length
        offset = head.bias - OLD.bias + (head.weight - OLD.weight) @ mean
        return float(loss + penalty / 2 * ((slope**2).sum() + (offset**2).sum()))

    least = objective(found)
    for _ in range(40):
        weight = found.weight + RNG.normal(scale=1e-2, size=(3, 5)) * [[1], [0], [1]]
        bias = found.bias + RNG.normal(scale=1e-2, size=3) * [1, 0, 1]
        assert objective(LinearHead(weight, bias)) >= least - 1e-7


def test_more_penalty_is_nearer_to_the_old_head_and_infinite_is_the_old_head() -> None:
    moved = [np.abs(fitted(penalty).weight - OLD.weight).sum() for penalty in (0.01, 1.0, 100.0)]
    assert moved[0] > moved[1] > moved[2] > 0
    assert fitted(float("inf")) is OLD


def test_a_class_that_the_hospital_lacks_keeps_its_weights_and_its_place() -> None:
    found = fitted(0.01)
    assert np.array_equal(found.weight[1], OLD.weight[1]) and found.bias[1] == OLD.bias[1]
    before, after = OLD.logits(INPUTS), found.logits(INPUTS)
    assert after[:, [0, 2]].mean(axis=1) == pytest.approx(before[:, [0, 2]].mean(axis=1), abs=1e-5)


def test_labels_of_one_class_and_penalties_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="two present classes"):
        fit_anchored(OLD, INPUTS, LABELS, EVEN, present=[0], penalties=[1])
    with pytest.raises(ValueError, match="penalties must be more than 0"):
        fitted(0.0)


def test_several_penalties_at_once_give_what_each_gives_alone() -> None:
    penalties = [float("inf"), 1.0, 0.01]
    together = fit_anchored(OLD, INPUTS, LABELS, EVEN, present=[0, 2], penalties=penalties)
    for penalty, head in zip(penalties, together, strict=True):
        assert np.array_equal(head.weight, fitted(penalty).weight)


@pytest.mark.parametrize("count", [7, 30], ids=["fewer slices than inputs", "more"])
def test_a_refit_within_the_span_of_the_slices_is_the_refit(count: int) -> None:
    inputs = RNG.normal(size=(count, 20)).astype(np.float32) + 1
    old = LinearHead(RNG.normal(size=(3, 20)), RNG.normal(size=3))
    labels, even = np.arange(count) % 2, np.ones(count)
    span = Span.of(inputs)
    short, start = span.shorten(inputs), span.shorten_head(old)
    assert short.shape == (count, min(count, 20))
    assert start.logits(short) == pytest.approx(old.logits(inputs), abs=1e-9)
    settings = {"present": [0, 1], "penalties": [0.1]}
    refitted = fit_anchored(start, short, labels, even, **settings)[0]
    long = fit_anchored(old, inputs, labels, even, **settings)[0]
    back = span.lengthen_head(old, refitted)
    assert back.weight == pytest.approx(long.weight, abs=1e-4)
    elsewhere = RNG.normal(size=(5, 20))  # inputs that took no part in the span
    assert back.logits(elsewhere) == pytest.approx(long.logits(elsewhere), abs=1e-3)


@pytest.mark.parametrize("name", list_models())
def test_the_last_layer_of_every_network_is_found_and_gives_its_answer(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, 3).eval()
    side = 64 if network.takes_any_size else network.input_px
    pictures = np.random.default_rng(1).integers(0, 255, (1, side, side), dtype=np.uint8)
    layer = find_final_layer(network, pictures[0])
    seen = read_pictures(network, layer, pictures)
    with torch.inference_mode():
        answer = network(torch.from_numpy(pictures[:, None]))
    assert np.allclose(seen.features, answer.features.numpy(), rtol=1e-4)
    logits = answer.logits.numpy()
    assert head_of(network, layer).logits(seen.inputs) == pytest.approx(logits, rel=1e-4)  # float32


@dataclass
class Answer:
    logits: torch.Tensor


class NoLinearEnd(nn.Module):
    """Ends in a product of two layers, which no refit of one of them could settle."""

    name = "odd"

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, pictures: torch.Tensor) -> Answer:
        flat = pictures.float().flatten(1)[:, :16]
        return Answer(self.one(flat) * self.two(flat))


def test_a_network_without_a_linear_end_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="network odd does not end in a linear layer"):
        find_final_layer(NoLinearEnd(), np.zeros((8, 8), np.uint8))


def test_a_new_head_is_what_the_network_answers_with() -> None:
    network = create_model("resnet18", 3).eval()
    pictures = np.random.default_rng(1).integers(0, 255, (2, 64, 64), dtype=np.uint8)
    layer = find_final_layer(network, pictures[0])
    new = LinearHead(np.zeros((3, 512)), np.array([1.0, 2.0, 3.0]))
    with_head(network, layer, new)
    with torch.inference_mode():
        logits = network(torch.from_numpy(pictures[:, None])).logits
    assert logits.tolist() == [[1, 2, 3], [1, 2, 3]]


def test_batch_norm_takes_the_statistics_of_the_new_pictures_and_the_old_network_stays() -> None:
    network = create_model("resnet18", 3).eval()
    before = network.state_dict()["backbone.bn1.running_mean"].clone()
    pictures = np.full((3, 64, 64), 200, np.uint8)
    adapted = with_statistics_of(network, pictures)
    assert torch.equal(network.state_dict()["backbone.bn1.running_mean"], before)
    with torch.inference_mode():
        x = network.normalise(torch.from_numpy(pictures[:, None]))
        expected = network.backbone.conv1(x).mean(dim=(0, 2, 3))
    found = adapted.state_dict()["backbone.bn1.running_mean"]
    assert torch.allclose(found, expected, atol=1e-4)
    assert not adapted.training
    assert not has_batch_norm(create_model("vgg16", 3))
