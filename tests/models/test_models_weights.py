"""Start weights from files: what is loaded, on which pixel scale, and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deeppneumonia.errors import WeightsError
from deeppneumonia.models import create_model, load_start_weights
from deeppneumonia.models.registry import BACKBONES
from deeppneumonia.models.weight_files import IMAGENET_FILES, OfficialFile, fetch_official
from deeppneumonia.models.weights import HU_SCALE, stood_up


@pytest.fixture(scope="module")
def pretrained() -> dict[str, Tensor]:
    """A ResNet-18 for 1000 classes, as torchvision would give it."""
    torch.manual_seed(7)
    return BACKBONES["resnet18"](1000).state_dict()


def without_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith("fc.")}


def test_a_bfloat16_file_without_head_fills_all_but_the_head(
    pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in pretrained.items()}
    save_file(without_head(half), tmp_path / "start.safetensors")
    network = create_model("resnet18", 2)
    fresh_head = network.backbone.head.weight.clone()
    report = load_start_weights(network, tmp_path / "start.safetensors")
    for key, value in without_head(half).items():
        assert torch.equal(network.backbone.state_dict()[key], value.float())
    assert torch.equal(network.backbone.head.weight, fresh_head)
    assert report.source == "start.safetensors"
    assert len(report.loaded) == 120
    assert report.missing == ("fc.weight", "fc.bias")
    assert report.ignored == ()
    assert report.pixel_mean == (0.485, 0.456, 0.406)


def test_a_head_for_other_classes_is_left_and_a_head_for_as_many_is_taken(
    pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(pretrained, tmp_path / "resnet18.pth")
    report = load_start_weights(create_model("resnet18", 2), tmp_path / "resnet18.pth")
    assert report.ignored == ("fc.weight", "fc.bias")
    report = load_start_weights(create_model("resnet18", 1000), tmp_path / "resnet18.pth")
    assert report.missing == report.ignored == ()
    assert report.sha256 == hashlib.sha256((tmp_path / "resnet18.pth").read_bytes()).hexdigest()


def test_a_saved_network_brings_its_backbone_and_its_pixel_scale(tmp_path: Path) -> None:
    donor = create_model("resnet18", 2)
    donor.set_pixel_scale((0.25, 0.5, 0.75), (1, 2, 4))
    save_file({**donor.state_dict(), "relation.weight": torch.ones(1)}, tmp_path / "n.safetensors")
    network = create_model("resnet18", 3)
    report = load_start_weights(network, tmp_path / "n.safetensors")
    assert torch.equal(network.backbone.get_parameter("conv1.weight"), donor.backbone.conv1.weight)
    assert network.pixel_std.tolist() == [1, 2, 4]
    assert set(report.ignored) == {
        "relation.weight", "backbone.fc.weight", "backbone.fc.bias"
    }  # fmt: skip


def test_old_densenet_names_are_understood(tmp_path: Path) -> None:
    donor = BACKBONES["densenet121"](2)
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in donor.state_dict().items()
        if "num_batches_tracked" not in key  # which files of that age lack
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, tmp_path / "old.safetensors")
    network = create_model("densenet121", 2)
    report = load_start_weights(network, tmp_path / "old.safetensors")
    assert report.missing == ()
    for key, value in donor.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[key], value)


def test_the_hu_scale_maps_hounsfield_units_to_0_to_1() -> None:
    network = create_model("resnet18", 2)
    network.set_pixel_scale(*HU_SCALE)
    hu = torch.tensor([-1000.0, -600.0, 0.0, 150.0])
    grey = 255 * (hu + 1350) / 1500  # the lung window, centre -600, width 1500
    pixels = network.normalise(grey.view(4, 1, 1, 1))
    assert pixels[:, 2].flatten().tolist() == pytest.approx([0, 0.2, 0.5, 0.575], abs=1e-6)


@pytest.mark.real_data
def test_the_chest_ct_start_is_known_and_put_on_the_hu_scale(real_data: Path) -> None:
    path = real_data.parent / "weights" / "ct_resnet50_start_bf16.safetensors"
    if not path.is_file():
        pytest.skip("the chest CT start weights are not beside the data")
    network = create_model("drenet", 3)
    report = load_start_weights(network, path)
    assert len(report.loaded) == 318
    assert network.pixel_mean.tolist() == pytest.approx([0.23333] * 3, abs=1e-4)
    assert network.pixel_std.tolist() == pytest.approx([1.33333] * 3, abs=1e-4)


def refuse(tmp_path: Path, tensors: dict[str, Tensor], name: str, message: str) -> None:
    """Loading these tensors into a network fails with a message and changes nothing."""
    save_file(tensors, tmp_path / "bad.safetensors")
    network = create_model(name, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_start_weights(network, tmp_path / "bad.safetensors")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_file_that_lacks_a_layer_is_refused(
    pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    lacking = {k: v for k, v in pretrained.items() if k != "layer3.0.conv1.weight"}
    refuse(tmp_path, lacking, "resnet18", r"does not fit resnet18: 1 .* layer3.0.conv1.weight")


def test_a_file_for_another_depth_is_refused(pretrained: dict[str, Tensor], tmp_path: Path) -> None:
    refuse(tmp_path, dict(pretrained), "resnet50", "bad.safetensors does not fit resnet50")


def test_a_file_for_another_family_is_refused(
    pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    refuse(tmp_path, dict(pretrained), "densenet121", "holds no features.conv0.weight")


def test_a_layer_too_many_is_refused(pretrained: dict[str, Tensor], tmp_path: Path) -> None:
    extra = {**pretrained, "layer4.2.conv1.weight": torch.zeros(512, 512, 3, 3)}
    refuse(tmp_path, extra, "resnet18", r"layer4.2.conv1.weight \(expected nothing, found")


def test_a_pixel_scale_without_spread_is_refused(
    pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    scaled = {**pretrained, "pixel_mean": torch.zeros(3), "pixel_std": torch.zeros(3)}
    refuse(tmp_path, scaled, "resnet18", "states no usable pixel scale")


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_start_weights(create_model("resnet18", 2), tmp_path / name)


class Stranger:
    """Something that is not a tensor, and that unpickling must not make."""


def test_a_pth_file_that_holds_code_or_no_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Stranger()}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_start_weights(create_model("resnet18", 2), tmp_path / "code.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="plain mapping of names to tensors"):
        load_start_weights(create_model("resnet18", 2), tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere.pth", "no file of start weights at nowhere.pth"), ("image-net", "or 'imagenet'")],
)
def test_a_source_that_is_no_file_is_refused(source: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_start_weights(create_model("resnet18", 2), source)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").touch()
    with pytest.raises(WeightsError, match=r"a .safetensors or .pth file, not weights.onnx"):
        load_start_weights(create_model("resnet18", 2), tmp_path / "weights.onnx")


def test_every_backbone_of_torchvision_has_an_official_file_whose_name_bears_its_hash() -> None:
    assert {*IMAGENET_FILES, "efficientnet-lite0"} == BACKBONES.keys()
    assert IMAGENET_FILES["resnet50"].name == "resnet50-11ad3fa6.pth"
    assert IMAGENET_FILES["resnet50"].sha256_prefix == "11ad3fa6"


def test_what_torchvision_never_published_must_be_brought(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no ImageNet weights for efficientnet-lite0: name a"):
        load_start_weights(create_model("drenet-fpn-lite", 2), "imagenet", home=tmp_path)


def test_a_file_that_was_brought_is_used_only_with_the_promised_hash(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18-f37072fd.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="promises f37072fd"):
        load_start_weights(create_model("resnet18", 2), "imagenet", home=tmp_path)


def test_an_official_file_is_fetched_once_and_checked(tmp_path: Path) -> None:
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / name).write_bytes(content)
    official = OfficialFile((tmp_path / name).as_uri())
    path = fetch_official(official, tmp_path / "home")
    (tmp_path / name).unlink()
    assert fetch_official(official, tmp_path / "home") == path
    assert path == tmp_path / "home" / "weights" / name
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_fetched_file_with_other_content_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "net-00000000.pth").write_bytes(b"cut off")
    official = OfficialFile((tmp_path / "net-00000000.pth").as_uri())
    with pytest.raises(WeightsError, match="promises 00000000"):
        fetch_official(official, tmp_path / "home")
    assert list((tmp_path / "home" / "weights").iterdir()) == []


def test_offline_the_message_says_which_file_to_bring_and_where_to_put_it(tmp_path: Path) -> None:
    official = OfficialFile("http://127.0.0.1:1/resnet18-f37072fd.pth")  # nobody listens there
    place = tmp_path / "weights" / "resnet18-f37072fd.pth"
    with pytest.raises(WeightsError, match=f"Bring {official.url} .* put it at {place}"):
        fetch_official(official, tmp_path)
    assert not place.exists()


def test_a_scale_under_a_prefix_is_found_too(tmp_path: Path) -> None:
    start = create_model("resnet18", 2)
    start.set_pixel_scale((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    file = tmp_path / "state.safetensors"
    save_file({f"weights/{key}": value for key, value in start.state_dict().items()}, file)
    loaded = load_start_weights(create_model("resnet18", 2), file)
    assert loaded.pixel_std == pytest.approx((1.0, 2.0, 3.0))


def test_a_kernel_for_lying_pictures_sees_the_same_in_standing_ones() -> None:
    torch.manual_seed(0)
    standing, kernel = torch.randn(1, 2, 9, 9), torch.randn(3, 2, 3, 3)
    lying = standing.flip(-1, -2).transpose(-1, -2)
    seen = torch.nn.functional.conv2d(lying, kernel)
    expected = seen.transpose(-1, -2).flip(-1, -2)  # stood up again
    torch.testing.assert_close(torch.nn.functional.conv2d(standing, stood_up(kernel)), expected)
    assert torch.equal(stood_up(kernel[0, 0, 0]), kernel[0, 0, 0])
