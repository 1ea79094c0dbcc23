"""Counted multiplications, against the figures that are known for these networks."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from deeppneumonia.models import create_model, giga_macs


@pytest.mark.parametrize(
    ("name", "expected"),
    # torchvision's table of models (GFLOPS, which there are multiply-accumulates), 224 px
    [("resnet18", 1.81), ("resnet50", 4.09), ("densenet121", 2.83), ("vgg16", 15.47)],
)
def test_known_networks_cost_what_is_known(name: str, expected: float) -> None:
    with FakeTensorMode():  # shapes without arithmetic
        assert giga_macs(create_model(name, 1000), 224) == pytest.approx(expected, abs=0.01)


def test_a_convolution_counted_by_hand() -> None:
    network = create_model("resnet18", 2)
    stem = network.backbone.conv1
    network.backbone.runner = lambda pixels, _count: (stem(pixels),)  # 7 x 7 x 3 -> 64, stride 2
    network.backbone.pool = lambda found: found.new_zeros(1, 512)
    network.backbone.fc = nn.Linear(512, 2)
    assert giga_macs(network, 64) == pytest.approx((32 * 32 * 64 * 7 * 7 * 3 + 512 * 2) / 1e9)


def test_details_and_zoom_count_as_often_as_the_backbone_runs() -> None:
    with FakeTensorMode():
        resnet, drenet = create_model("resnet50", 2), create_model("drenet", 2)
        ntsnet = create_model("nts-net", 2)
        one_pass = giga_macs(resnet, 448)
        # 1 + 6/4 + 1 and 1 + 6/4 passes; proposals and heads add less than 0.05 of one
        assert giga_macs(drenet, 448) / one_pass == pytest.approx(3.5, abs=0.05)
        assert giga_macs(ntsnet, 448) / one_pass == pytest.approx(2.5, abs=0.05)


def test_details_from_the_pyramid_cost_a_twentieth_of_a_pass() -> None:
    with FakeTensorMode():
        one_pass = giga_macs(create_model("resnet50", 2), 448)
        assert 1.02 < giga_macs(create_model("drenet-fpn", 2), 448) / one_pass < 1.05


def test_the_lite_network_costs_a_ninth() -> None:
    with FakeTensorMode():
        whole, lite = (create_model(name, 3) for name in ("drenet-fpn", "drenet-fpn-lite"))
        assert giga_macs(whole, 224) / giga_macs(lite, 224) == pytest.approx(8.8, abs=0.1)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = create_model("resnet18", 2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    giga_macs(network, 64)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
