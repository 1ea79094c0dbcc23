"""Anchors, overlap, suppression and choice, against values worked out by hand."""

import pytest
import torch
from torch import Tensor

from deeppneumonia.models.proposals import (
    ProposalPyramid,
    anchor_boxes,
    box_overlaps,
    pick_apart,
    pick_details,
)


def test_there_are_196_49_and_16_anchors_of_48_96_and_192_px() -> None:
    sides = anchor_boxes()[:, 2] - anchor_boxes()[:, 0]
    assert torch.equal(sides, torch.tensor([48.0] * 196 + [96.0] * 49 + [192.0] * 16))


@pytest.mark.parametrize(
    ("position", "box"),
    [
        (0, [-8, -8, 40, 40]),  # p3, centre (16, 16)
        (1, [24, -8, 72, 40]),  # p3, one cell to the right: centre (48, 16)
        (195, [408, 408, 456, 456]),  # p3, the last: centre (432, 432)
        (196, [-16, -16, 80, 80]),  # p4, centre (32, 32)
        (244, [368, 368, 464, 464]),  # p4, the last: centre (416, 416)
        (245, [-32, -32, 160, 160]),  # p5, centre (64, 64)
        (249, [-32, 96, 160, 288]),  # p5, second row: centre (64, 192)
        (260, [352, 352, 544, 544]),  # p5, the last: centre (448, 448)
    ],
)
def test_an_anchor_lies_at_cell_and_a_half_times_stride(position: int, box: list[int]) -> None:
    assert anchor_boxes()[position].tolist() == box


A = [0.0, 0.0, 10.0, 10.0]
B = [5.0, 0.0, 15.0, 10.0]  # with A: 50 / 150
C = [9.0, 0.0, 19.0, 10.0]  # with A: 10 / 190; with B: 60 / 140
D = [100.0, 0.0, 110.0, 10.0]  # apart
E = [2.0, 0.0, 12.0, 10.0]  # with A: 80 / 120; with B: 70 / 130


def test_overlap_is_intersection_over_union() -> None:
    boxes = torch.tensor([A, B, C, D])
    expected = [1, 50 / 150, 10 / 190, 0]
    assert box_overlaps(boxes, boxes)[0].tolist() == pytest.approx(expected)


def test_a_weaker_box_that_overlaps_a_pick_is_dropped() -> None:
    boxes = torch.tensor([A, B, C, D])
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.1, 0.9, 0.8, 0.7]])
    picks = pick_apart(scores, box_overlaps(boxes, boxes), 3)
    assert picks[0].tolist() == [0, 2, 3]  # A drops B
    # B drops A and C; D; then nothing is left, and A overlaps B less (1/3) than C does (3/7).
    assert picks[1].tolist() == [1, 3, 0]


def test_when_suppression_leaves_too_few_the_least_overlapping_are_taken() -> None:
    boxes = torch.tensor([A, B, E])
    picks = pick_apart(torch.tensor([[0.9, 0.7, 0.8]]), box_overlaps(boxes, boxes), 3)
    assert picks[0].tolist() == [0, 1, 2]  # A; B (1/3) before E (2/3), though E scores higher


def suppress_one_by_one(scores: Tensor, overlaps: Tensor, count: int) -> list[int]:
    """Plain greedy non-maximum suppression of one picture, as the textbooks have it."""
    kept: list[int] = []
    for anchor in scores.argsort(descending=True).tolist():
        if all(overlaps[anchor, other] <= 0.1 for other in kept):
            kept.append(anchor)
    return kept[:count]


def test_the_batched_choice_is_greedy_suppression_of_each_picture() -> None:
    scores = torch.randn(20, 261, generator=torch.Generator().manual_seed(0))
    overlaps = box_overlaps(anchor_boxes(), anchor_boxes())
    picks = pick_details(scores, overlaps)
    for n in range(20):
        small = suppress_one_by_one(scores[n, :245], overlaps[:245, :245], 3)
        large = suppress_one_by_one(scores[n, 245:], overlaps[245:, 245:], 3)
        assert picks[n].tolist() == small + [245 + anchor for anchor in large]


@pytest.mark.parametrize("case", ["random", "all equal", "one peak"])
def test_there_are_always_three_small_and_three_large_details(case: str) -> None:
    scores = torch.zeros(5, 261)
    if case == "random":
        scores = torch.randn(5, 261, generator=torch.Generator().manual_seed(1))
    elif case == "one peak":
        scores[:, 100] = 1e6
    picks = pick_details(scores, box_overlaps(anchor_boxes(), anchor_boxes()))
    for row in picks.tolist():
        assert len(set(row)) == 6
        assert [position >= 245 for position in row] == [False] * 3 + [True] * 3


def test_the_pyramid_scores_261_anchors_and_gives_boxes_without_gradient() -> None:
    pyramid = ProposalPyramid(map_channels=32)
    feature_map = torch.randn(2, 32, 14, 14, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pyramid.score(feature_map).shape == (2, 261)
        boxes, scores = pyramid(feature_map)
    assert boxes.shape == (2, 6, 4)
    assert not boxes.requires_grad
    assert scores.requires_grad
    assert scores.dtype == boxes.dtype == torch.float32


def test_a_score_belongs_to_the_anchor_at_its_place_in_the_map() -> None:
    pyramid = ProposalPyramid(map_channels=1)
    for parameter in pyramid.parameters():
        torch.nn.init.zeros_(parameter)
    pyramid.down1.weight.data[:, :, 1, 1] = 1  # D1 is the map itself
    pyramid.score1.weight.data.fill_(1)
    feature_map = torch.zeros(1, 1, 14, 14)
    feature_map[0, 0, 2, 5] = 1  # row 2, column 5: centre x = 176, y = 80
    boxes, scores = pyramid(feature_map)
    assert boxes[0, 0].tolist() == [152, 56, 200, 104]
    assert scores[0].tolist() == [128, 0, 0, 0, 0, 0]
