"""One safetensors file that holds a network and everything that is needed to use it right."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import CheckpointError, ConfigError
from deeppneumonia.files import sha256_of, write_whole
from deeppneumonia.models import Network, create_model, unwritten
from deeppneumonia.preprocessing import PreprocessConfig

FORMAT = "deeppneumonia-checkpoint-1"
METADATA_KEY = "deeppneumonia"
SHA256_KEY = "deeppneumonia_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingLevel:
    """A level on the first class's calibrated probability, and what it gave where it was chosen."""

    target: float
    """The sensitivity that was asked for, such as 0.9."""

    threshold: float
    """From this probability on a patient counts as one of the first class."""

    sensitivity: float
    """Share of the validation patients of the first class that it found."""

    specificity: float
    """Share of the other validation patients that it left alone."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The levels at which an answer changes, chosen on validation patients."""

    confidence: float = 0.0
    """The most likely class needs at least this calibrated probability, or the answer is
    indeterminate; 0 answers always."""

    detail: float = 0.8
    """A detail is drawn when it speaks for the slice's disease at least this strongly."""

    operating_points: tuple[OperatingLevel, ...] = ()
    """Levels for those who must not miss the first class; empty when none were chosen."""

    def __post_init__(self) -> None:
        for name in ("confidence", "detail"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMetadata:
    """What a network needs beside its weights, and where it comes from."""

    model: str
    """A name that `create_model` knows."""

    classes: ClassSet
    preprocessing: PreprocessConfig
    temperature: float = 1.0
    """Divides the log of the patient's mean probabilities; more than 1 makes them humbler."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    ood: Mapping[str, Any] | None = None
    """Statistics of the training patients' features; None when none were fitted."""

    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Manifest hashes, commit, recipe, seed, start weights, date, licence."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What it scored, on which patients."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.temperature <= 100:
            raise ValueError(f"temperature must lie between 0.01 and 100, not {self.temperature}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in eval mode, ready to be asked."""

    network: Network
    metadata: CheckpointMetadata
    sha256: str
    """Of the whole file."""


def save_checkpoint(path: Path, network: Network, metadata: CheckpointMetadata) -> str:
    """Write one file, under a temporary name first; weights in half precision.

    The file holds a sha256 of its own content, by which a damaged copy is known wherever it lies.
    Matrices and kernels are stored as float16; one-dimensional tensors (biases, batch-norm
    statistics), whose range is wide and whose size is nothing, stay float32.

    Returns:
        The file's sha256.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in network.state_dict().items()
    }
    text = _to_json(metadata)
    words = {METADATA_KEY: text, SHA256_KEY: _content_sha256(text, tensors)}
    write_whole(path, _in_order(save(tensors, metadata=words)))
    return sha256_of(path)


def _in_order(raw: bytes) -> bytes:
    """The same safetensors file with its metadata sorted by name.

    The library writes them in an order drawn anew each time, by which one training had two files
    and two hashes. Source: https://huggingface.co/docs/safetensors (Format).
    """
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the weights begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + raw[end:]


def load_checkpoint(path: Path, *, expected_sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint, check it, and build its network in eval mode.

    Args:
        path: a file written by `save_checkpoint`.
        expected_sha256: refuse the file unless this is its hash.

    Raises:
        CheckpointError: if the file is missing, damaged, foreign, or not the one expected.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint file at {path}: name a .safetensors file, or leave "
            f"--checkpoint out to use the one that ships with the package."
        )
    sha256 = sha256_of(path)
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise CheckpointError(
            f"{path.name} has sha256 {sha256[:12]}..., but {expected_sha256[:12]}... was expected: "
            f"the file is damaged or not the one that was released. Install it again."
        )
    words = _words(path)
    metadata = _from_json(words[METADATA_KEY], path.name)
    tensors = load_file(path)
    if expected_sha256 is None:  # else the whole file was checked
        _check_content(words, tensors, path.name)
    network = _network_of(metadata, path.name)
    try:
        network.load_state_dict(tensors)  # float16 becomes the network's float32 on the way
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path.name} do not fit the network {metadata.model!r} that it names: "
            f"the file is damaged or was made by another version. Train or install it again."
        ) from error
    return Checkpoint(network.eval(), metadata, sha256)


def _network_of(metadata: CheckpointMetadata, name: str) -> Network:
    try:
        with unwritten():
            network = create_model(metadata.model, len(metadata.classes))
    except ConfigError as error:
        raise CheckpointError(
            f"{name} holds a network named {metadata.model!r}, which this version does not know: "
            f"use the version of DeepPneumonia that wrote it."
        ) from error
    if not network.takes_any_size and metadata.preprocessing.picture_px != network.input_px:
        raise CheckpointError(
            f"{name} says that {metadata.model} reads {metadata.preprocessing.picture_px} px, it "
            f"reads {network.input_px} px: the file is damaged or was edited. Install it again."
        )
    return network


def read_metadata(path: Path) -> CheckpointMetadata:
    """What a checkpoint says of itself, without building its network."""
    return _from_json(_words(path)[METADATA_KEY], path.name)


def _check_content(
    words: Mapping[str, str], tensors: Mapping[str, torch.Tensor], name: str
) -> None:
    """CheckpointError unless the content has the sha256 that was stored with it, if one was."""
    stored = words.get(SHA256_KEY)
    if stored is not None and stored != _content_sha256(words[METADATA_KEY], tensors):
        raise CheckpointError(
            f"The content of {name} is not what was saved (its sha256 differs): the file is "
            f"damaged. Copy, install or train it again."
        )


def _content_sha256(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Of the metadata and of every tensor with its name, type and shape."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _words(path: Path) -> Mapping[str, str]:
    """What stands beside the tensors, METADATA_KEY among it."""
    try:
        with safe_open(path, framework="pt") as file:
            words: Mapping[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path.name} is not a whole safetensors file ({error}): copy or install it again."
        ) from error
    if METADATA_KEY not in words:
        raise CheckpointError(
            f"{path.name} holds weights but no DeepPneumonia metadata: this is a backbone or "
            f"another program's file. Use it as start weights (train --start), not as a checkpoint."
        )
    return words


def _to_json(metadata: CheckpointMetadata) -> str:
    return json.dumps(
        {
            "format": FORMAT,
            "model": metadata.model,
            "classes": list(metadata.classes.labels),
            "preprocessing": metadata.preprocessing.to_dict(),
            "temperature": metadata.temperature,
            "thresholds": asdict(metadata.thresholds),
            "ood": metadata.ood,
            "provenance": dict(metadata.provenance),
            "metrics": dict(metadata.metrics),
        },
        sort_keys=True,
        allow_nan=False,
    )


def _from_json(text: str, name: str) -> CheckpointMetadata:
    try:
        stored = json.loads(text)
        if stored.get("format") != FORMAT:
            raise CheckpointError(
                f"{name} has format {stored.get('format')!r}, this version reads {FORMAT!r}: "
                f"use the version of DeepPneumonia that wrote it."
            )
        return CheckpointMetadata(
            model=stored["model"],
            classes=ClassSet(tuple(stored["classes"])),
            preprocessing=PreprocessConfig.from_dict(stored["preprocessing"]),
            temperature=float(stored["temperature"]),
            thresholds=_thresholds(stored["thresholds"]),
            ood=stored["ood"],
            provenance=stored["provenance"],
            metrics=stored["metrics"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"The metadata of {name} cannot be used ({error}): the file is damaged or was edited. "
            f"Install it again."
        ) from error


def _thresholds(stored: Mapping[str, Any]) -> Thresholds:
    points = tuple(OperatingLevel(**point) for point in stored.get("operating_points", ()))
    return Thresholds(**{**stored, "operating_points": points})
