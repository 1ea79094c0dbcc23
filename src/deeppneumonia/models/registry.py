"""The networks by name."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from deeppneumonia.errors import ConfigError
from deeppneumonia.models.backbone import Backbone
from deeppneumonia.models.densenet import DenseNet121
from deeppneumonia.models.dre_net import DreNet
from deeppneumonia.models.dre_net_fpn import DreNetFpn
from deeppneumonia.models.efficientnet import EfficientNetLite
from deeppneumonia.models.network import Network, PlainClassifier
from deeppneumonia.models.nts_net import NtsNet
from deeppneumonia.models.resnet import resnet18, resnet50
from deeppneumonia.models.vgg import Vgg16

BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "vgg16": Vgg16,
    "densenet121": DenseNet121,
    "resnet50": resnet50,
    "resnet18": resnet18,
    "efficientnet-lite0": EfficientNetLite,
}

DETAIL_NETWORKS: dict[str, tuple[Callable[[str, Backbone, int], Network], str]] = {
    "drenet": (DreNet, "resnet50"),
    "drenet-fpn": (DreNetFpn, "resnet50"),
    "drenet-fpn-lite": (DreNetFpn, "efficientnet-lite0"),
    "nts-net": (NtsNet, "resnet50"),
}
"""Those that look at details, and the backbone of each."""


def list_models() -> list[str]:
    """The names that create_model knows."""
    return [*BACKBONES, *DETAIL_NETWORKS]


def create_model(name: str, num_classes: int) -> Network:
    """Build a network with random weights, drawn from torch's global generator.

    Args:
        name: one of list_models().
        num_classes: C, 2 or more.

    Raises:
        ConfigError: for an unknown name; it says which are known and which is nearest.
    """
    if num_classes < 2:
        raise ValueError(f"a network tells two classes apart or more, not {num_classes}")
    if name in DETAIL_NETWORKS:
        network, backbone = DETAIL_NETWORKS[name]
        return network(name, BACKBONES[backbone](num_classes), num_classes)
    if name in BACKBONES:
        return PlainClassifier(name, BACKBONES[name](num_classes))
    nearest = get_close_matches(name.lower(), list_models(), n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"There is no network called {name!r}; did you mean {nearest!r}? "
        f"Known networks: {', '.join(list_models())}."
    )


class unwritten(TorchFunctionMode):  # noqa: N801  (a context, named as torch names its own)
    """Networks that are made in this context have weights without meaning, to be loaded over.

    Drawing 28 million random numbers takes longer than reading a checkpoint does.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))
