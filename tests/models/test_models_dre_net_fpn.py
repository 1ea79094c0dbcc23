"""DRE-Net on a feature pyramid: squares and pooling by hand, and what trains what."""

import pytest
import torch

from deeppneumonia.models import create_model, parameter_count
from deeppneumonia.models.dre_net_fpn import DreNetFpn, GatedAttention, pool_boxes
from deeppneumonia.models.feature_pyramid import SquareGrid
from deeppneumonia.models.losses import (
    detail_losses,
    lesion_loss,
    mean_detail_loss,
    ranking_loss,
)
from deeppneumonia.models.proposals import pick_details
from deeppneumonia.models.registry import BACKBONES


@pytest.fixture
def network() -> DreNetFpn:
    """The network on the small backbone, with three classes and fixed weights."""
    torch.manual_seed(0)
    return DreNetFpn("drenet-fpn", BACKBONES["resnet18"](3), 3).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Two smooth pictures (2, 1, 192, 192) that differ from place to place."""
    coarse = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(coarse, 192, mode="bilinear").to(torch.uint8)


@pytest.mark.parametrize(
    ("position", "box"),
    [
        (0, [-4, -4, 20, 20]),  # stride 16, side 24, centre 8
        (12 * 12 - 1, [172, 172, 196, 196]),
        (144, [-8, -8, 40, 40]),  # stride 32, side 48, centre 16
        (144 + 36, [-16, -16, 80, 80]),  # stride 64, side 96, centre 32
        (144 + 36 + 8, [112, 112, 208, 208]),
    ],
)
def test_squares_by_hand(position: int, box: list[float]) -> None:
    grid = SquareGrid.of(12, 24, torch.device("cpu"))  # of a 192 px picture
    assert len(grid.boxes) == 144 + 36 + 9
    assert grid.small == 144 + 36
    assert grid.boxes[position].tolist() == box


def test_three_small_then_three_large_are_picked_best_first_and_apart() -> None:
    grid = SquareGrid.of(20, 40, torch.device("cpu"))
    scores = torch.zeros(1, len(grid.boxes))
    best = [45, 0, 399]  # corners and an inner square, none touching another
    scores[0, best] = torch.tensor([3.0, 2.0, 1.5])
    scores[0, 46] = 2.9  # beside the best, so left out
    scores[0, grid.small + 24] = 5.0  # higher than any small one, and still in the second group
    picks = pick_details(scores, grid.overlaps, grid.small)[0].tolist()
    assert picks[:4] == [*best, grid.small + 24]
    assert len(set(picks)) == 6


def test_the_lesion_in_a_square_by_hand() -> None:
    grid = SquareGrid.of(12, 24, torch.device("cpu"))
    told = torch.zeros(1, 24, 24)
    told[0, 0, 0] = 0.9  # the corner cell: 8 x 8 of the 20 x 20 pixels that lie in the picture
    mean = grid.mean_in(told)[0]
    assert mean[0].item() == pytest.approx(0.9 * 64 / 400)
    assert mean[144].item() == pytest.approx(0.9 * 64 / 1600)  # 40 x 40 in the picture
    assert mean[13].item() == 0  # x and y from 12 to 36
    everywhere = grid.mean_in(torch.full((1, 24, 24), 0.25))
    torch.testing.assert_close(everywhere, torch.full_like(everywhere, 0.25))


def test_details_are_proposed_where_lesion_is_told(
    network: DreNetFpn, pictures: torch.Tensor
) -> None:
    told = torch.full((2, 1, 24, 24), -9.0)
    told[0, 0, 12:15, 12:15] = 4.0  # pixels 96 to 120: the middle of the square at row 6, column 6
    network.lesion.register_forward_hook(lambda *_: told)
    boxes = network(pictures).details.boxes
    middle = (boxes[0, 0, :2] + boxes[0, 0, 2:]) / 2
    assert ((middle - 108).abs() <= 12).all()
    assert not torch.equal(boxes[0], boxes[1])


def test_pooling_finds_the_mean_of_each_quarter() -> None:
    # A map whose value is its own position in picture pixels: bilinear samples are exact.
    x = (torch.arange(40) + 0.5) * 8
    ramp = torch.stack([x.expand(40, 40), x[:, None].expand(40, 40)])[None]  # (1, 2, 40, 40)
    box = torch.tensor([[[64.0, 96.0, 160.0, 192.0]]])
    pooled = pool_boxes(ramp, box).view(2, 2, 2)  # channel, down, across
    torch.testing.assert_close(pooled[0, 0], torch.tensor([88.0, 136.0]))
    torch.testing.assert_close(pooled[1, :, 0], torch.tensor([120.0, 168.0]))


def test_attention_is_a_share() -> None:
    torch.manual_seed(0)
    weights = GatedAttention(8, 4)(torch.randn(5, 7, 8))
    assert weights.shape == (5, 7)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))


def test_the_answer_is_the_weighted_sum_of_what_it_was_made_of(
    network: DreNetFpn, pictures: torch.Tensor
) -> None:
    parts: list[torch.Tensor] = []
    network.attention.register_forward_hook(lambda *call: parts.append(call[1][0]))
    output = network(pictures)
    assert output.details is not None
    assert output.details.weights is not None
    shares = torch.cat([1 - output.details.weights.sum(1, keepdim=True), output.details.weights], 1)
    contributions = network.relation(parts[0])  # (N, 1 + K, C), each with the bias
    torch.testing.assert_close((shares[..., None] * contributions).sum(1), output.logits)


def test_a_picture_does_not_depend_on_its_neighbours(
    network: DreNetFpn, pictures: torch.Tensor
) -> None:
    together, alone = network(pictures), network(pictures[1:])
    torch.testing.assert_close(together.logits[1:], alone.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.details.boxes[1:], alone.details.boxes)


def test_the_loss_has_four_parts_and_ranks_by_the_mean_pair(
    network: DreNetFpn, pictures: torch.Tensor
) -> None:
    output, targets = network(pictures), torch.tensor([2, 0])
    weights = torch.tensor([1.0, 2.0, 3.0])
    entropy = torch.nn.functional.cross_entropy
    expected = (
        entropy(output.image_logits, targets, weights)
        + entropy(output.logits, targets, weights)
        + mean_detail_loss(output.details.logits, targets, weights)
        + ranking_loss(output.details.scores, detail_losses(output.details.logits, targets)) / 15
    )
    torch.testing.assert_close(network.loss(output, targets, weights), expected)


def test_the_ranking_loss_trains_the_scores_alone(
    network: DreNetFpn, pictures: torch.Tensor
) -> None:
    details = network(pictures).details
    ranking_loss(details.scores, detail_losses(details.logits, torch.tensor([2, 0]))).backward()
    trained = {name for name, one in network.named_parameters() if one.grad is not None}
    assert trained
    assert all(name.startswith(("pyramid.scores", "pyramid.coarser")) for name in trained)


def test_it_has_25_million_parameters() -> None:  # so that half precision fits in 50 MB
    with torch.device("meta"):
        assert parameter_count(create_model("drenet-fpn", 3)) == 24_555_409


def test_without_lesion_the_pyramid_is_not_read(network: DreNetFpn, pictures: torch.Tensor) -> None:
    maps: list[torch.Tensor] = []
    network.cam_layer.register_forward_hook(lambda *call: maps.append(call[2]))
    torch.nn.init.constant_(network.lesion.bias, -100)
    network(pictures)
    assert maps[0].shape == (2, 96, 24, 24)  # a cell for 8 x 8 pixels
    assert maps[0].abs().max() < 1e-30


def test_masks_teach_what_tells_lesions(network: DreNetFpn, pictures: torch.Tensor) -> None:
    output, targets = network(pictures), torch.tensor([2, 0])
    drawn = torch.full((2, 24, 24), -1.0)
    drawn[0, :12] = 0.0
    drawn[0, 3:6, 3:6] = 1.0
    more = network.loss(output, targets, None, drawn) - network.loss(output, targets)
    torch.testing.assert_close(more, lesion_loss(output.lesion_logits, drawn))
    more.backward()
    assert network.lesion.weight.grad.abs().sum() > 0
    assert network.relation.weight.grad.abs().sum() == 0  # the same answer in both losses
