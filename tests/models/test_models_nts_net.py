"""NTS-Net: its anchors and its choice by hand, and what trains what."""

import pytest
import torch

from deeppneumonia.models import create_model, parameter_count
from deeppneumonia.models.losses import detail_losses, ranking_loss
from deeppneumonia.models.nts_net import Navigator, NtsNet, shaped_anchors
from deeppneumonia.models.proposals import box_overlaps
from deeppneumonia.models.registry import BACKBONES


@pytest.fixture
def network() -> NtsNet:
    """NTS-Net on the small backbone, with three classes and fixed weights."""
    torch.manual_seed(0)
    return NtsNet("nts-net", BACKBONES["resnet18"](3), 3).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Two smooth pictures (2, 1, 448, 448) that differ from place to place."""
    coarse = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(coarse, 448, mode="bilinear").to(torch.uint8)


def test_there_are_1614_anchors_of_three_shapes() -> None:
    anchors = shaped_anchors()
    sizes = anchors[:, 2:] - anchors[:, :2]  # (A, 2) width, height
    assert len(anchors) == 14 * 14 * 6 + 7 * 7 * 6 + 4 * 4 * 9 == 1614
    ratios = (sizes[:, 1] / sizes[:, 0]).round(decimals=3).unique()
    assert ratios.tolist() == pytest.approx([0.667, 1, 1.5])
    sides = sizes.prod(dim=1).sqrt().round(decimals=2).unique()
    # 48, 96 and 192 px times 2^(1/3) and 2^(2/3); 192 also as it is
    assert sides.tolist() == pytest.approx([60.48, 76.20, 120.95, 152.39, 192, 241.90, 304.78])


@pytest.mark.parametrize(
    ("position", "centre", "size"),
    [
        (0, (16, 16), (74.07, 49.38)),  # p3, ratio 2/3: 60.476 * sqrt(3/2) wide
        (1, (48, 16), (74.07, 49.38)),  # one cell to the right
        (195, (432, 432), (74.07, 49.38)),
        (196, (16, 16), (93.32, 62.21)),  # p3, ratio 2/3, the larger scale
        (2 * 196, (16, 16), (60.48, 60.48)),  # p3, square
        (6 * 196, (32, 32), (148.13, 98.76)),  # p4, ratio 2/3
        (6 * 196 + 6 * 49 + 3 * 16 + 6, (320, 192), (192, 192)),  # p5, square: row 1, column 2
        (1613, (448, 448), (248.85, 373.28)),  # p5, ratio 3/2, the largest, the last cell
    ],
)
def test_an_anchor_lies_where_its_level_shape_and_cell_say(
    position: int, centre: tuple[float, float], size: tuple[float, float]
) -> None:
    box = shaped_anchors()[position]
    assert ((box[:2] + box[2:]) / 2).tolist() == pytest.approx(centre, abs=1e-3)
    assert (box[2:] - box[:2]).tolist() == pytest.approx(size, abs=0.01)


def test_a_score_belongs_to_the_anchor_at_its_place_and_of_its_shape() -> None:
    navigator = Navigator(map_channels=1)
    for parameter in navigator.parameters():
        torch.nn.init.zeros_(parameter)
    navigator.down1.weight.data[:, :, 1, 1] = 1  # the first map is the map itself
    navigator.score1.weight.data[2] = 1  # only squares of p3, the smaller scale
    feature_map = torch.zeros(1, 1, 14, 14)
    feature_map[0, 0, 2, 5] = 1  # row 2, column 5: centre x = 176, y = 80
    boxes, scores = navigator(feature_map)
    half = 48 * 2 ** (1 / 3) / 2
    assert boxes[0, 0].tolist() == pytest.approx([176 - half, 80 - half, 176 + half, 80 + half])
    assert scores[0].tolist() == [128, 0, 0, 0, 0, 0]
    assert not boxes.requires_grad and scores.requires_grad


def suppress_one_by_one(scores: torch.Tensor, overlaps: torch.Tensor) -> list[int]:
    """Plain greedy non-maximum suppression of one picture, as the textbooks have it."""
    kept: list[int] = []
    for anchor in scores.argsort(descending=True).tolist():
        if all(overlaps[anchor, other] <= 0.25 for other in kept):
            kept.append(anchor)
        if len(kept) == 6:
            break
    return kept


def test_the_batched_choice_is_greedy_suppression_of_each_picture() -> None:
    navigator = Navigator(map_channels=4)
    feature_map = torch.randn(8, 4, 14, 14, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        boxes, _ = navigator(feature_map)
        scores = navigator.score(feature_map)
    overlaps = box_overlaps(navigator.anchors, navigator.anchors)
    for n in range(8):
        expected = navigator.anchors[suppress_one_by_one(scores[n], overlaps)]
        assert torch.equal(boxes[n], expected)


def test_nts_net_gives_six_details_beside_its_answer(
    network: NtsNet, pictures: torch.Tensor
) -> None:
    with torch.no_grad():
        output, alone = network(pictures), network(pictures[1:])
    assert output.logits.shape == output.image_logits.shape == (2, 3)
    assert output.details.boxes.shape == (2, 6, 4)
    assert output.details.logits.shape == (2, 6, 3)
    assert (output.details.scores.diff(dim=1) <= 0).all(), "the best first"
    # 1e-5: sums in another order differ in the last bits of float32.
    torch.testing.assert_close(output.logits[1:], alone.logits, rtol=1e-5, atol=1e-5)


def test_only_the_best_four_details_reach_the_answer(
    network: NtsNet, pictures: torch.Tensor
) -> None:
    read = network.read_details
    with torch.no_grad():
        expected = network(pictures[:1])
        network.read_details = lambda x, boxes: read(x, boxes).index_fill(
            1, torch.tensor([4, 5]), 0
        )
        found = network(pictures[:1])
        network.read_details = lambda x, boxes: read(x, boxes).index_fill(1, torch.tensor([3]), 0)
        without_fourth = network(pictures[:1])
    assert torch.equal(found.logits, expected.logits)
    assert not torch.equal(found.details.logits, expected.details.logits)
    assert not torch.equal(without_fourth.logits, expected.logits)


def test_the_loss_is_the_sum_of_four_and_ranking_trains_the_navigator_only(
    network: NtsNet, pictures: torch.Tensor
) -> None:
    targets, weights = torch.tensor([0]), torch.tensor([1.0, 2.0, 3.0])
    output = network(pictures[:1])
    losses = detail_losses(output.details.logits, targets)
    ranking = ranking_loss(output.details.scores, losses)
    entropy = torch.nn.functional.cross_entropy
    by_hand = (
        entropy(output.image_logits, targets)
        + entropy(output.logits, targets)
        + losses.mean()
        + ranking
    )  # with one picture the class weights cancel
    torch.testing.assert_close(network.loss(output, targets, weights), by_hand)
    ranking.backward()
    trained = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None}
    assert trained == {"navigator"}


def test_nts_net_has_26_million_parameters() -> None:
    with torch.device("meta"):
        network = create_model("nts-net", 2)
    # ResNet-50 without head 23,508,032; convolutions 2,359,424 + 2 * 147,584; scores 129 each for
    # 6 + 6 + 9 shapes; heads 4,098 twice; scrutinizer 5 * 2048 * 2 + 2.
    assert parameter_count(network) == 23_508_032 + 2_654_592 + 2_709 + 8_196 + 20_482


def test_another_size_does_not_fit_the_anchors(network: NtsNet) -> None:
    with pytest.raises(ValueError, match="nts-net reads 448 px, not 224 px"):
        network(torch.zeros(1, 1, 224, 224))
