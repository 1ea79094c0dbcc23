"""Networks by name, and what all of them keep."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from deeppneumonia.errors import ConfigError
from deeppneumonia.models import create_model, list_models, parameter_count


def test_the_published_networks_and_cheap_ones_are_known() -> None:
    plain = ["vgg16", "densenet121", "resnet50", "resnet18", "efficientnet-lite0"]
    assert list_models() == [*plain, "drenet", "drenet-fpn", "drenet-fpn-lite", "nts-net"]


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigError, match=r"'resnet-50'; did you mean 'resnet50'\?.*vgg16"):
        create_model("resnet-50", 2)


def test_one_class_is_no_task() -> None:
    with pytest.raises(ValueError, match="two classes apart or more, not 1"):
        create_model("resnet18", 1)


def test_drenet_has_26_million_parameters() -> None:
    with torch.device("meta"):
        network = create_model("drenet", 2)
    # ResNet-50 without head 23,508,032; pyramid 2,654,979; heads 4,098 twice; relation 32,770.
    assert parameter_count(network) == 26_203_977


@pytest.mark.parametrize(
    ("name", "classes"), [*((name, 3) for name in list_models()), ("drenet", 2)]
)
def test_every_network_gives_logits_features_and_one_map_of_the_whole_picture(
    name: str, classes: int
) -> None:
    maps: list[tuple[int, ...]] = []
    with FakeTensorMode():  # shapes without arithmetic
        network = create_model(name, classes).eval()
        network.cam_layer.register_forward_hook(lambda *call: maps.append(tuple(call[2].shape)))
        output = network(torch.zeros(2, 1, 448, 448, dtype=torch.uint8))
        loss = network.loss(output, torch.zeros(2, dtype=torch.long), torch.ones(classes))
    has_pyramid = name.startswith("drenet-fpn")
    assert (network.name, network.input_px) == (name, 224 if has_pyramid else 448)
    assert output.logits.shape == (2, classes)
    assert output.features.shape == (2, network.backbone.feature_count)
    assert loss.shape == ()
    # where there is a pyramid, its finest level is shown
    shape = (96, 56, 56) if has_pyramid else (network.backbone.map_channels, 14, 14)
    assert maps == [(2, *shape)]


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_the_cam_layers_output_reaches_the_logits_unchanged(name: str) -> None:
    seen: list[torch.Tensor] = []
    network = create_model(name, 2).eval()
    network.cam_layer.register_forward_hook(lambda *call: seen.append(call[2]))
    output = network(torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8))
    as_returned = seen[0].detach().clone()
    gradient = torch.autograd.grad(output.logits[0, 1], seen[0])[0]
    assert torch.equal(seen[0], as_returned)
    assert gradient.abs().sum() > 0


def test_uint8_and_float_pictures_are_the_same_pictures() -> None:
    network = create_model("resnet18", 2).eval()
    pictures = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(network(pictures).logits, network(pictures.float()).logits)


def test_pixels_are_grey_over_255_less_mean_over_deviation() -> None:
    network = create_model("resnet18", 2)
    pixels = network.normalise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    first = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]  # ImageNet's, channel by channel
    assert pixels[0].flatten().tolist() == pytest.approx(first)
    assert pixels[1, 0].item() == pytest.approx((1 - 0.485) / 0.229)


def test_the_pixel_scale_is_in_the_state_dict_and_outside_the_backbone() -> None:
    network = create_model("resnet18", 2)
    network.set_pixel_scale((0.1, 0.2, 0.3), (1, 2, 3))
    state = network.state_dict()
    assert state["pixel_std"].tolist() == [1, 2, 3]
    assert not any("pixel" in key for key in network.backbone.state_dict())


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 64, 64), (1, 1, 64, 32)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pictures must be \(N, 1, S, S\)"):
        create_model("resnet18", 2)(torch.zeros(shape))


def test_a_pixel_scale_without_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="three positive deviations"):
        create_model("resnet18", 2).set_pixel_scale((0, 0, 0), (1, 0, 1))


def test_frozen_stages_stay_as_they_are_in_training() -> None:
    network = create_model("resnet18", 2)
    network.freeze_stages(2)
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    output = network(torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8))
    network.loss(output, torch.tensor([0, 1, 0, 1])).backward()
    has_gradient = {key: p.grad is not None for key, p in network.backbone.named_parameters()}
    assert not has_gradient["conv1.weight"]
    assert not has_gradient["layer1.1.conv2.weight"]
    assert has_gradient["layer2.0.conv1.weight"]
    changed = {key for key, value in network.state_dict().items() if not before[key].equal(value)}
    assert "backbone.bn1.running_mean" not in changed
    assert "backbone.layer1.1.bn2.running_var" not in changed
    assert "backbone.layer2.0.bn1.running_mean" in changed


def test_stages_can_be_thawed() -> None:
    network = create_model("resnet18", 2)
    network.freeze_stages(5)
    network.freeze_stages(0)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("count", [-1, 6])
def test_there_are_five_stages_to_freeze(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 0 to 5 stages"):
        create_model("resnet18", 2).freeze_stages(count)


def test_frozen_batchnorm_keeps_its_statistics_in_training_and_still_learns_its_scale() -> None:
    network = create_model("resnet18", 2)
    network.freeze_batchnorm()
    network.eval()
    network.train()
    output = network(torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8))
    network.loss(output, torch.tensor([0, 1])).backward()
    fresh = create_model("resnet18", 2).state_dict()
    for key, value in network.state_dict().items():
        if "running" in key or "tracked" in key:
            assert torch.equal(value, fresh[key])
    scale = network.backbone.get_parameter("layer4.1.bn2.weight")
    assert scale.grad is not None
    assert network.training
