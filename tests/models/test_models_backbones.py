"""The four backbones against their published sizes, costs and torchvision's names."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deeppneumonia.models.registry import BACKBONES

# Parameters and 10^9 multiply-adds at 224 px, as torchvision's documentation states them.
PUBLISHED = [
    ("resnet18", 11_689_512, 1.81),
    ("resnet50", 25_557_032, 4.09),
    ("vgg16", 138_357_544, 15.47),
    ("densenet121", 7_978_856, 2.83),
]

# Written down from the papers' tables and torchvision's naming; the count is of all entries.
TORCHVISION_ENTRIES = {
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


@pytest.mark.parametrize("name", TORCHVISION_ENTRIES)
def test_a_backbone_has_torchvisions_keys_and_shapes(name: str) -> None:
    count, entries = TORCHVISION_ENTRIES[name]
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
def test_the_stages_hold_everything_before_the_pooling(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](2)
    backbone.freeze_stages(5)
    learning = {key.split(".")[0] for key, p in backbone.named_parameters() if p.requires_grad}
    assert learning <= {"fc", "classifier"}


def test_a_bottleneck_strides_on_its_3x3_convolution() -> None:
    with torch.device("meta"):
        block = BACKBONES["resnet50"](2).get_submodule("layer2.0")
    assert block.get_submodule("conv1").stride == (1, 1)
    assert block.get_submodule("conv2").stride == (2, 2)
