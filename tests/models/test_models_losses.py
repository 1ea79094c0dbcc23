"""DRE-Net's losses, against sums done by hand."""

from math import log

import pytest
import torch

from deeppneumonia.models import DetailOutput, NetworkOutput
from deeppneumonia.models.dre_net import DreNet
from deeppneumonia.models.losses import (
    detail_losses,
    lesion_loss,
    mean_detail_loss,
    ranking_loss,
)
from deeppneumonia.models.registry import BACKBONES

SCORES = [0.5, 0.2, 0.9]
LOSSES = [0.3, 0.6, 0.1]
# Ordered pairs (i, j) with L_j > L_i: (0, 1) 1 - 0.5 + 0.2 = 0.7; (2, 0) 1 - 0.9 + 0.5 = 0.6;
# (2, 1) 1 - 0.9 + 0.2 = 0.3; together 1.6.


def test_ranking_loss_of_three_details() -> None:
    assert ranking_loss(torch.tensor([SCORES]), torch.tensor([LOSSES])).item() == pytest.approx(1.6)


def test_ranking_loss_pushes_good_details_up_and_bad_ones_down() -> None:
    scores = torch.tensor([SCORES], requires_grad=True)
    losses = torch.tensor([LOSSES], requires_grad=True)
    ranking_loss(scores, losses).backward()
    # Detail 1 is the worse one in two pairs, detail 2 the better one; detail 0 is once each.
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0, 2, -2]]
    assert losses.grad is None


def test_ranking_loss_is_zero_when_the_order_is_right_by_a_margin_of_one() -> None:
    assert ranking_loss(torch.tensor([[3.0, 1.0]]), torch.tensor([[0.1, 0.9]])) == 0
    assert ranking_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.1, 0.9]])) == 3


def test_equal_details_ask_for_no_order() -> None:
    assert ranking_loss(torch.tensor([[0.0, 5.0]]), torch.tensor([[0.4, 0.4]])) == 0


def test_ranking_loss_is_a_mean_over_pictures() -> None:
    scores, losses = torch.tensor([SCORES, [0.0] * 3]), torch.tensor([LOSSES, [0.0] * 3])
    assert ranking_loss(scores, losses).item() == pytest.approx(0.8)


def odds(*probabilities: float) -> list[float]:
    """Logits whose softmax is these probabilities."""
    return [log(p) for p in probabilities]


DETAIL_LOGITS = torch.tensor(
    [
        [odds(0.5, 0.5), odds(0.25, 0.75)],
        [odds(0.9, 0.1), odds(0.2, 0.8)],
    ]
)
TARGETS = torch.tensor([0, 1])


def test_each_detail_is_judged_by_its_pictures_class() -> None:
    expected = [[-log(0.5), -log(0.25)], [-log(0.1), -log(0.8)]]
    assert torch.allclose(detail_losses(DETAIL_LOGITS, TARGETS), torch.tensor(expected))


def test_the_mean_detail_loss_weighs_by_class() -> None:
    losses = [-log(0.5), -log(0.25), -log(0.1), -log(0.8)]
    plain = mean_detail_loss(DETAIL_LOGITS, TARGETS, None)
    assert plain.item() == pytest.approx(sum(losses) / 4)
    weighted = mean_detail_loss(DETAIL_LOGITS, TARGETS, torch.tensor([3.0, 1.0]))
    expected = (3 * losses[0] + 3 * losses[1] + losses[2] + losses[3]) / 8
    assert weighted.item() == pytest.approx(expected)


@pytest.fixture(scope="module")
def network() -> DreNet:
    with torch.device("meta"):
        return DreNet("drenet", BACKBONES["resnet18"](2), 2)


def test_the_loss_is_the_sum_of_its_four_parts(network: DreNet) -> None:
    output = NetworkOutput(
        logits=torch.tensor([odds(0.8, 0.2), odds(0.4, 0.6)]),
        features=torch.zeros(2, 512),
        image_logits=torch.tensor([odds(0.7, 0.3), odds(0.5, 0.5)]),
        details=DetailOutput(
            boxes=torch.zeros(2, 2, 4),
            scores=torch.tensor([[0.3, 0.1], [0.5, 0.0]]),
            logits=DETAIL_LOGITS,
        ),
    )
    image, relation = -log(0.7) - log(0.5), -log(0.8) - log(0.6)
    details = -log(0.5) - log(0.25) - log(0.1) - log(0.8)
    # First picture: L_1 > L_0, so 1 - 0.3 + 0.1; second: L_0 > L_1, so 1 - 0.0 + 0.5.
    expected = image / 2 + relation / 2 + details / 4 + (0.8 + 1.5) / 2
    assert network.loss(output, TARGETS).item() == pytest.approx(expected, rel=1e-5)

    weights = torch.tensor([3.0, 1.0])
    image, relation = -3 * log(0.7) - log(0.5), -3 * log(0.8) - log(0.6)
    details = 3 * (-log(0.5) - log(0.25)) - log(0.1) - log(0.8)
    expected = image / 4 + relation / 4 + details / 8 + (0.8 + 1.5) / 2
    assert network.loss(output, TARGETS, weights).item() == pytest.approx(expected, rel=1e-5)


def test_an_output_without_details_is_not_drenets(network: DreNet) -> None:
    plain = NetworkOutput(logits=torch.zeros(1, 2), features=torch.zeros(1, 512))
    with pytest.raises(ValueError, match="its own output, with details"):
        network.loss(plain, torch.tensor([0]))


def test_lesion_by_hand() -> None:
    logits = torch.tensor([[[0.0, -log(3)]], [[log(3), 5.0]]])  # told 1/2, 1/4; 3/4
    drawn = torch.tensor([[[1.0, 0.0]], [[0.0, -1.0]]])  # the last cell is unknown
    entropy = (3 * log(2) + log(4 / 3) + log(4)) / 3  # a lesion counts three times
    missed = 1 - (2 * 0.5 + 1) / (0.5 + 0.25 + 1 + 1)  # the first picture alone has a lesion
    expected = 10 * entropy + missed / 2
    assert lesion_loss(logits, drawn).item() == pytest.approx(expected, rel=1e-6)


def test_where_nothing_is_known_of_lesions_nothing_is_asked() -> None:
    logits = torch.zeros(2, 3, 3, requires_grad=True)
    loss = lesion_loss(logits, torch.full((2, 3, 3), -1.0))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0
