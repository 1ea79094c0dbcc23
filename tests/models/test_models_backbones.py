"""The backbones against their published sizes, costs and names."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deeppneumonia.models.efficientnet import SameConv2d
from deeppneumonia.models.registry import BACKBONES

# Parameters and 10^9 multiply-adds at 224 px, as torchvision's documentation states them;
# EfficientNet-Lite0 as its authors do (4.65 M, 407 M).
PUBLISHED = [
    ("resnet18", 11_689_512, 1.81),
    ("resnet50", 25_557_032, 4.09),
    ("vgg16", 138_357_544, 15.47),
    ("densenet121", 7_978_856, 2.83),
    ("efficientnet-lite0", 4_652_008, 0.407),
]

# Written down from the papers' tables and torchvision's naming, the last from its published file;
# the count is of all entries.
PUBLISHED_ENTRIES = {
    "resnet18": (
        122,
        {
            "conv1.weight": (64, 3, 7, 7),
            "layer1.1.bn2.running_mean": (64,),
            "layer2.0.downsample.0.weight": (128, 64, 1, 1),
            "layer4.1.conv2.weight": (512, 512, 3, 3),
            "fc.bias": (1000,),
        },
    ),
    "resnet50": (
        320,
        {
            "bn1.num_batches_tracked": (),
            "layer1.0.downsample.1.running_var": (256,),
            "layer2.0.conv2.weight": (128, 128, 3, 3),
            "layer3.5.conv3.weight": (1024, 256, 1, 1),
            "layer4.2.bn3.weight": (2048,),
            "fc.weight": (1000, 2048),
        },
    ),
    "vgg16": (
        32,
        {
            "features.0.weight": (64, 3, 3, 3),
            "features.10.bias": (256,),
            "features.28.weight": (512, 512, 3, 3),
            "classifier.0.weight": (4096, 25088),
            "classifier.3.bias": (4096,),
            "classifier.6.weight": (1000, 4096),
        },
    ),
    "densenet121": (
        727,
        {
            "features.conv0.weight": (64, 3, 7, 7),
            "features.denseblock1.denselayer1.conv1.weight": (128, 64, 1, 1),
            "features.denseblock3.denselayer24.conv2.weight": (32, 128, 3, 3),
            "features.denseblock4.denselayer16.norm1.running_mean": (992,),
            "features.transition2.conv.weight": (256, 512, 1, 1),
            "features.norm5.bias": (1024,),
            "classifier.weight": (1000, 1024),
        },
    ),
    "efficientnet-lite0": (
        296,
        {
            "_conv_stem.weight": (32, 3, 3, 3),
            "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
            "_blocks.1._expand_conv.weight": (96, 16, 1, 1),
            "_blocks.11._depthwise_conv.weight": (672, 1, 5, 5),
            "_blocks.15._project_conv.weight": (320, 1152, 1, 1),
            "_bn1.running_var": (1280,),
            "_fc.weight": (1000, 1280),
        },
    ),
}


@pytest.mark.parametrize(("name", "parameters", "giga_macs"), PUBLISHED)
def test_a_backbone_has_its_published_size_and_cost(
    name: str, parameters: int, giga_macs: float
) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](1000).eval()
        with FlopCounterMode(display=False) as counter:
            logits = backbone(torch.zeros(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga_macs, abs=0.03)


@pytest.mark.parametrize("name", PUBLISHED_ENTRIES)
def test_a_backbone_has_the_published_keys_and_shapes(name: str) -> None:
    count, entries = PUBLISHED_ENTRIES[name]
    with torch.device("meta"):
        shapes = {key: tuple(v.shape) for key, v in BACKBONES[name](1000).state_dict().items()}
    assert len(shapes) == count
    assert {key: shapes.get(key) for key in entries} == entries


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_reads_448_px_in_five_stages(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](3).eval()
        feature_map = backbone.feature_map(torch.zeros(2, 3, 448, 448))
        features = backbone.pool(feature_map)
    assert len(backbone.stages()) == 5
    assert feature_map.shape == (2, backbone.map_channels, 14, 14)
    assert features.shape == (2, backbone.feature_count)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_maps_of_the_last_three_stages_have_the_stated_channels(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](3).eval()
        maps = backbone.last_maps(torch.zeros(1, 3, 192, 192), 3)
    assert tuple(m.shape[1] for m in maps) == backbone.pyramid_channels
    assert backbone.pyramid_channels[-1] == backbone.map_channels


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet-lite0"])
def test_the_maps_below_a_pyramid_halve_from_an_eighth(name: str) -> None:
    with torch.device("meta"):
        maps = BACKBONES[name](3).eval().last_maps(torch.zeros(1, 3, 192, 192), 3)
    assert [m.shape[-1] for m in maps] == [24, 12, 6]


@pytest.mark.parametrize(("side", "first", "last"), [(3, 1, 2), (5, 2, 3)])
def test_a_stride_of_two_pads_as_tensorflow_does(side: int, first: int, last: int) -> None:
    convolution = SameConv2d(1, 1, side, 2)
    torch.nn.init.ones_(convolution.weight)
    counted = convolution(torch.ones(1, 1, 8, 8))[0, 0]
    # 8 cells, a stride of 2 and a kernel of 3 (5) need 1 (3) more: none (1) before and 1 (2) after
    assert counted.shape == (4, 4)
    assert counted[0, 0].item() == (side - first + 1) ** 2
    assert counted[-1, -1].item() == (side - last + 1) ** 2


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stages_hold_everything_before_the_pooling(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](2)
    backbone.freeze_stages(5)
    learning = {key.split(".")[0] for key, p in backbone.named_parameters() if p.requires_grad}
    assert learning <= {"fc", "classifier", "_fc"}


def test_a_bottleneck_strides_on_its_3x3_convolution() -> None:
    with torch.device("meta"):
        block = BACKBONES["resnet50"](2).get_submodule("layer2.0")
    assert block.get_submodule("conv1").stride == (1, 1)
    assert block.get_submodule("conv2").stride == (2, 2)
