"""Crops, against pixels counted by hand."""

import pytest
import torch

from deeppneumonia.models.crops import crop_boxes
from deeppneumonia.models.dre_net import cut_zoom


def test_a_crop_at_the_corner_has_zeros_outside_and_the_exact_pixels_inside() -> None:
    picture = torch.arange(1.0, 65.0).view(1, 1, 8, 8)  # first row 1..8, second row 9..16
    crop = crop_boxes(picture, torch.tensor([[[-2.0, -2.0, 2.0, 2.0]]]), out_px=4)
    expected = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 9, 10]]
    assert torch.allclose(crop[0, 0], torch.tensor(expected, dtype=torch.float32), atol=1e-5)


def test_the_crops_of_a_picture_lie_together() -> None:
    pictures = torch.arange(1.0, 33.0).view(2, 1, 4, 4)
    left_top, right_bottom = [0.0, 0.0, 1.0, 1.0], [3.0, 3.0, 4.0, 4.0]
    boxes = torch.tensor([[left_top, right_bottom], [right_bottom, left_top]])
    crops = crop_boxes(pictures, boxes, out_px=1)
    assert crops.flatten().tolist() == pytest.approx([1, 16, 32, 17])


def test_x_runs_along_columns_and_y_along_rows() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    crop = crop_boxes(picture, torch.tensor([[[2.0, 1.0, 3.0, 2.0]]]), out_px=1)
    assert crop.item() == pytest.approx(6)  # row 1, column 2


def test_a_detail_of_a_ramp_is_the_ramp_enlarged() -> None:
    ramp = torch.arange(448.0).expand(1, 3, 448, 448)
    crop = crop_boxes(ramp, torch.tensor([[[96.0, 96.0, 192.0, 192.0]]]), out_px=224)
    # Output pixel j has its centre at 96 + (j + 0.5) * 96/224, and pixel i its own at i + 0.5.
    expected = 96 + (torch.arange(224) + 0.5) * 96 / 224 - 0.5
    assert torch.allclose(crop[0, 0, 100], expected, atol=1e-3)  # float32 of values to 448


def test_the_zoom_of_a_ramp_is_the_ramp_enlarged() -> None:
    ramp = torch.arange(448.0).expand(1, 3, 448, 448)
    zoom = cut_zoom(ramp, torch.tensor([[[96.0, 224.0, 288.0, 416.0]]]))
    assert zoom.shape == (1, 3, 448, 448)
    expected = 96 + (torch.arange(448) + 0.5) * 192 / 448 - 0.5
    assert torch.allclose(zoom[0, 2, 200], expected, atol=1e-3)


def test_crops_are_channels_last() -> None:
    crops = crop_boxes(torch.zeros(2, 3, 16, 16), torch.rand(2, 5, 4), out_px=8)
    assert crops.shape == (10, 3, 8, 8)
    assert crops.is_contiguous(memory_format=torch.channels_last)
