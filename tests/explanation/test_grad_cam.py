"""Grad-CAM against the published equations, and against captum as oracle."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam, LayerGradientXActivation
from numpy.typing import NDArray
from torch import Tensor, nn

from deeppneumonia.explanation import grad_cam_of
from deeppneumonia.models import create_model
from deeppneumonia.models.dre_net import DreNet
from deeppneumonia.models.dre_net_fpn import DreNetFpn
from deeppneumonia.models.resnet import resnet18


@dataclass
class Output:
    logits: Tensor


class TwoMaps(nn.Module):
    """The left half's brightness speaks for class 0, the right half's for class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()

    def forward(self, pictures: Tensor) -> Output:
        left, right = pictures.float().clone(), pictures.float().clone()
        left[..., pictures.shape[-1] // 2 :] = 0
        right[..., : pictures.shape[-1] // 2] = 0
        maps = self.maps(torch.cat([left, right], dim=1))  # (N, 2, S, S)
        return Output(maps.mean(dim=(2, 3)))


class SmallNet(nn.Module):
    """Convolutions with an in-place ReLU behind the layer, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(8, 3))

    def forward(self, pictures: Tensor) -> Output:
        x = self.relu(self.conv2(self.norm(self.conv1(pictures)).tanh()))
        return Output(self.head(x.mean(dim=(2, 3))))


class Logits(nn.Module):
    """A network as captum takes it: pictures in, logits out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(pictures).logits
        return logits


class ThreeStreams(nn.Module):
    """One layer over two crops of each picture, then the pictures, then a zoom."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, pictures: Tensor) -> Output:
        x = pictures.float()
        crops = self.layer(torch.cat([x[..., :4, :4], x[..., 4:, 4:]]))  # (2 N, 1, 4, 4)
        whole = self.layer(x)  # (N, 1, 8, 8)
        zoom = self.layer(x.flip(-1) * 5)  # (N, 1, 8, 8)
        parts = [whole.mean(dim=(2, 3)), zoom.mean(dim=(2, 3)), crops.mean().expand(len(x), 1)]
        return Output(torch.cat(parts, dim=1).sum(dim=1, keepdim=True))


def grad_cam(
    network: nn.Module, layer: nn.Module, pictures: Tensor, targets: Tensor
) -> NDArray[np.float32]:
    return grad_cam_of(lambda: network(pictures.clone()).logits, layer, targets, pictures.shape[-1])


def small_net() -> SmallNet:
    torch.manual_seed(0)
    return SmallNet().eval()


def noise(count: int, side: int, seed: int = 1) -> Tensor:
    return torch.rand((count, 1, side, side), generator=torch.Generator().manual_seed(seed))


def captum_heat(network: nn.Module, layer: nn.Module, pictures: Tensor, targets: Tensor) -> Tensor:
    each = LayerGradientXActivation(Logits(network), layer).attribute(pictures, target=targets)
    return spread(each.sum(dim=1, keepdim=True).relu(), pictures)


def captum_grad_cam(
    network: nn.Module, layer: nn.Module, pictures: Tensor, targets: Tensor
) -> Tensor:
    heat = LayerGradCam(Logits(network), layer).attribute(
        pictures, target=targets, relu_attributions=True
    )
    return spread(heat, pictures)


def spread(heat: Tensor, pictures: Tensor) -> Tensor:
    upsampled = LayerAttribution.interpolate(heat, pictures.shape[-2:], "bilinear")[:, 0]
    most = upsampled.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, upsampled / most, 0.0).detach()


def test_the_evidence_lies_where_the_class_looks() -> None:
    pictures = torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)
    network = TwoMaps().eval()
    heat = grad_cam(network, network.maps, pictures, torch.tensor([0, 1]))
    assert heat.dtype == np.float32
    left, right = heat
    assert (left[:, :4] == 1).all() and (left[:, 4:] == 0).all()
    assert (right[:, :4] == 0).all() and (right[:, 4:] == 1).all()


@pytest.mark.parametrize("layer", ["conv1", "conv2", "relu"])
def test_captum_draws_the_same_map(layer: str) -> None:
    network, pictures, targets = small_net(), noise(5, 32), torch.tensor([0, 1, 2, 0, 1])
    ours = grad_cam(network, network.get_submodule(layer), pictures, targets)
    theirs = captum_heat(network, network.get_submodule(layer), pictures, targets)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-5)  # float32, another order of sums
    assert ours.max() == 1


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_captum_draws_the_same_map_for_a_real_network(name: str) -> None:
    torch.manual_seed(2)
    network = create_model(name, 3).eval()
    pictures, targets = noise(2, 96) * 255, torch.tensor([0, 2])
    ours = grad_cam(network, network.cam_layer, pictures, targets)
    theirs = captum_heat(network, network.cam_layer, pictures, targets)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-4)  # float32 through a deep network


@pytest.mark.parametrize("network_class", [None, DreNet, DreNetFpn])
def test_captum_draws_the_same_map_as_from_the_maps_of_an_answer(
    network_class: type[DreNet] | type[DreNetFpn] | None,
) -> None:
    torch.manual_seed(4)
    network = network_class("it", resnet18(3), 3) if network_class else create_model("resnet18", 3)
    network.eval()
    pictures, targets = noise(1, 448) * 255, torch.tensor([1])
    with torch.no_grad():
        pixels, maps = network.look(pictures)

    ours = grad_cam_of(lambda: network.answer(pixels, maps).logits, network.cam_layer, targets, 448)
    theirs = captum_heat(network, network.cam_layer, pictures, targets)
    assert ours.max() == 1
    assert ours == pytest.approx(theirs.numpy(), abs=1e-4)  # float32 through a deep network


def test_it_is_grad_cam_where_the_answer_is_linear_in_the_mean_of_the_map() -> None:
    torch.manual_seed(2)
    network = create_model("resnet18", 3).eval()
    pictures, targets = noise(2, 96) * 255, torch.tensor([0, 2])
    ours = grad_cam(network, network.cam_layer, pictures, targets)
    theirs = captum_grad_cam(network, network.cam_layer, pictures, targets)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-4)  # float32 through a deep network


def test_of_the_three_streams_of_drenet_the_whole_picture_is_drawn() -> None:
    torch.manual_seed(3)
    network = DreNet("drenet", resnet18(3), 3).eval()
    pictures, targets = noise(1, 448) * 255, torch.tensor([1])
    # the backbone's layer runs over the picture, six details and the zoom; cam_layer once
    ours = grad_cam(network, network.backbone.get_submodule("layer4"), pictures, targets)
    theirs = captum_heat(network, network.cam_layer, pictures, targets)
    assert ours.max() == 1
    assert ours == pytest.approx(theirs.numpy(), abs=1e-4)  # float32 through a deep network


def test_a_batch_gives_each_picture_the_map_that_it_has_alone() -> None:
    network, pictures, targets = small_net(), noise(3, 32), torch.tensor([2, 1, 0])
    together = grad_cam(network, network.conv2, pictures, targets)
    for row in range(3):
        alone = grad_cam(network, network.conv2, pictures[row : row + 1], targets[row : row + 1])
        assert together[row] == pytest.approx(alone[0], abs=1e-5)  # float32


def test_nothing_is_drawn_where_nothing_was_found() -> None:
    network = TwoMaps().eval()
    pictures = torch.zeros((1, 1, 8, 8), dtype=torch.uint8)
    pictures[..., :4] = 200  # only class 0 has evidence
    assert (grad_cam(network, network.maps, pictures, torch.tensor([1])) == 0).all()


def test_a_layer_of_several_streams_is_taken_for_the_whole_pictures() -> None:
    network = ThreeStreams().eval()
    pictures = torch.zeros((3, 1, 8, 8))
    pictures[..., 2, 1] = 1
    heat = grad_cam(network, network.layer, pictures, torch.zeros(3, dtype=torch.long))
    assert [np.unravel_index(one.argmax(), one.shape) for one in heat] == [(2, 1)] * 3


def test_the_network_is_left_as_it_was() -> None:
    network, pictures = small_net(), noise(2, 32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    grad_cam(network, network.conv2, pictures, torch.tensor([0, 1]))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.conv2._forward_hooks
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_threads_may_ask_one_network_at_a_time() -> None:
    network, targets = small_net(), torch.tensor([0, 1])
    studies = [noise(2, 32, seed) for seed in (1, 2)]
    alone = [grad_cam(network, network.conv2, pictures, targets) for pictures in studies]
    both_wait_for_a_map = Barrier(2)

    def heat(pictures: Tensor) -> NDArray[np.float32]:
        def answer() -> Tensor:
            both_wait_for_a_map.wait(60)
            logits: Tensor = network(pictures).logits
            return logits

        return grad_cam_of(answer, network.conv2, targets, 32)

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(heat, studies))
    assert np.array(together) == pytest.approx(np.array(alone), abs=1e-5)  # float32


def test_no_hook_stays_behind_after_an_error() -> None:
    network = small_net()
    with pytest.raises(RuntimeError):
        grad_cam(network, network.conv2, torch.zeros((1, 2, 32, 32)), torch.tensor([0]))
    with pytest.raises(ValueError, match="made no map"):
        grad_cam(network, network.head, noise(1, 32), torch.tensor([0]))
    assert not network.conv2._forward_hooks
    assert not network.head._forward_hooks


def test_frozen_weights_and_inference_mode_change_nothing() -> None:
    network, pictures, targets = small_net(), noise(2, 32), torch.tensor([0, 1])
    free = grad_cam(network, network.conv2, pictures, targets)
    frozen_network = small_net().requires_grad_(False)
    with torch.inference_mode():
        frozen = grad_cam(frozen_network, frozen_network.conv2, pictures * 1.0, targets)
    assert frozen == pytest.approx(free, abs=1e-6)  # float32


def test_autocast_does_not_reach_the_map() -> None:
    network, pictures, targets = small_net(), noise(2, 32), torch.tensor([0, 1])
    exact = grad_cam(network, network.conv2, pictures, targets)
    with torch.autocast("cpu", torch.bfloat16):
        assert (grad_cam(network, network.conv2, pictures, targets) == exact).all()
