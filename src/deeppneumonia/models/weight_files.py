"""Files of start weights: where they lie, whether they are whole, and what is in them."""

import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deeppneumonia.errors import WeightsError
from deeppneumonia.files import replacing, sha256_of

DOWNLOAD_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """A file of weights whose publisher put the start of its SHA-256 into its name."""

    url: str

    @property
    def name(self) -> str:
        """The file's name, such as resnet50-11ad3fa6.pth."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def sha256_prefix(self) -> str:
        """The eight hexadecimal digits in the name."""
        return self.name.removesuffix(".pth").rsplit("-", 1)[-1]


TORCHVISION = "https://download.pytorch.org/models"
IMAGENET_FILES: Mapping[str, OfficialFile] = {
    "resnet18": OfficialFile(f"{TORCHVISION}/resnet18-f37072fd.pth"),
    "resnet50": OfficialFile(f"{TORCHVISION}/resnet50-11ad3fa6.pth"),
    "vgg16": OfficialFile(f"{TORCHVISION}/vgg16-397923af.pth"),
    "densenet121": OfficialFile(f"{TORCHVISION}/densenet121-a639ec97.pth"),
}
"""torchvision's ImageNet weights (BSD-3-Clause) by backbone."""


def fetch_official(official: OfficialFile, home: Path) -> Path:
    """The file in home/weights, downloaded when it is not there yet, its SHA-256 checked.

    Raises:
        WeightsError: when it cannot be fetched, with the file to bring and where to put it; or
            when its content is not what its name promises.
    """
    path = home / "weights" / official.name
    if not path.exists():
        download(official, path)
    check_hash(path, official)
    return path


def check_hash(path: Path, official: OfficialFile) -> None:
    """WeightsError unless the file's SHA-256 begins as its official name promises."""
    found = sha256_of(path)
    if not found.startswith(official.sha256_prefix):
        raise WeightsError(
            f"{path} has SHA-256 {found[:8]}..., but its name promises "
            f"{official.sha256_prefix}: it is damaged or another file. "
            f"Delete it and fetch it again from {official.url}."
        )


def download(official: OfficialFile, path: Path) -> None:
    """Fetch a file to `path`, under a temporary name until it is whole and checked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as unfinished,
            urllib.request.urlopen(official.url, timeout=DOWNLOAD_TIMEOUT_S) as answer,
        ):
            with unfinished.open("wb") as file:
                shutil.copyfileobj(answer, file)
            check_hash(unfinished, official)
    except (HTTPException, OSError) as error:
        raise WeightsError(
            f"{official.name} is not on this machine and could not be fetched ({error}). "
            f"Bring {official.url} from a machine that is online and put it at {path}."
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .pth file by name; nothing in it is executed.

    Raises:
        WeightsError: for a missing file, another kind of file, or one that cannot be read.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file of start weights at {path}; name a .safetensors or .pth file, or "
            f"'imagenet'."
        )
    if path.suffix not in {".safetensors", ".pth"}:
        raise WeightsError(f"Start weights are a .safetensors or .pth file, not {path.name}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} must hold a plain mapping of names to tensors, and does not.")
    return dict(content)
