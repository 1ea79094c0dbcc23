"""The state of a training on disk: one safetensors file, never half written and never pickled."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Never

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from deeppneumonia.errors import TrainingError
from deeppneumonia.files import write_whole
from deeppneumonia.training.config import TrainConfig
from deeppneumonia.training.history import EpochRecord

FORMAT = "deeppneumonia training state 1"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that training needs to go on after an epoch; everything else follows from it."""

    config: Mapping[str, Any]
    """`TrainConfig.to_dict()` of the training that wrote it."""

    history: Sequence[EpochRecord]
    """The epochs that are done."""

    tensors: Mapping[str, Tensor]
    """`weights/NAME`, what the optimizer remembers (`momentum/NAME`, with AdamW `square/NAME` and
    `count/NAME` too), and with a weight average `average/NAME` and its count of steps,
    `steps/average`."""


def save_state(state: TrainingState, path: Path) -> None:
    """Replace the file by this state; a crash at any moment leaves the old or the new one whole."""
    tensors = _portable(state.tensors)
    facts = {
        "format": FORMAT,
        "config": json.dumps(dict(state.config)),
        "history": json.dumps([asdict(record) for record in state.history]),
    }
    # Not by save_file: killed, it leaves a file as large as this under a name that nobody knows, a
    # full disk is no OSError to it, and it keeps what it writes to the user.
    write_whole(path, save(tensors, facts | {"sha256": _sha256(facts, tensors)}))


def load_state(path: Path) -> TrainingState:
    """Read what `save_state` wrote.

    Raises:
        TrainingError: if the file is damaged or is something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        _refuse(path, f"is damaged ({error})", error)
    if facts.get("format") != FORMAT:
        _refuse(path, f"is not a '{FORMAT}'")
    if facts.pop("sha256", "") != _sha256(facts, tensors):
        _refuse(path, "is damaged (its sha256 is not the one written with it)")
    history = [EpochRecord(**record) for record in json.loads(facts["history"])]
    return TrainingState(json.loads(facts["config"]), history, tensors)


def check_same_config(state: TrainingState, config: TrainConfig, path: Path) -> None:
    """TrainingError unless the state was made under this very config; it names the differences."""
    then, now = state.config, config.to_dict()
    differences = [
        f"{name} was {then.get(name)} and is now {now.get(name)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    if differences:
        raise TrainingError(
            f"{path.parent} holds a training under another config ({'; '.join(differences)}), and "
            "only the same config can be resumed: use that config, or another output folder."
        )


def save_weights(weights: Mapping[str, Tensor], epoch: int, path: Path) -> None:
    """Replace the file by these weights, under the names of the network's state dict."""
    write_whole(path, save(_portable(weights), {"epoch": str(epoch)}))


def epoch_of_weights(path: Path) -> int | None:
    """The epoch whose weights a file holds; None where there is no whole file."""
    try:
        with safe_open(path, framework="pt") as file:
            return int((file.metadata() or {})["epoch"])
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In main memory, in the plain layout that safetensors asks for."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _sha256(facts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Of all names and values: safetensors notices a short file, but not a flipped bit."""
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse(path: Path, found: str, cause: Exception | None = None) -> Never:
    raise TrainingError(
        f"{path} {found}, so the training cannot be resumed from it: remove the file to start "
        "again, or name another output folder."
    ) from cause
