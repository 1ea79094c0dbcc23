"""What runs a network: pictures in, numbers out, the same numbers whichever engine it is."""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import CheckpointError, ConfigError, DeepPneumoniaError

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """A network's answer for n pictures, K details each (K is 0 for networks without details)."""

    probabilities: Floats
    """(n, C)."""

    features: Floats
    """(n, D): the pooled features of the whole picture."""

    boxes: Floats
    """(n, K, 4): x0, y0, x1, y1 in picture pixels."""

    detail_probabilities: Floats
    """(n, K, C): what each detail speaks for by itself."""

    detail_weights: Floats | None = None
    """(n, K): each detail's share of the answer; None where the network does not tell."""

    maps: tuple[torch.Tensor, ...] = ()
    """(n, ...) each: the backbone's maps that the answer was made from; empty unless asked for."""


class NoMemoryError(DeepPneumoniaError):
    """The machine or the GPU has not enough memory for a single picture."""

    def __init__(self) -> None:
        super().__init__(
            "There is not enough free memory to ask the network about a single picture: close "
            "other programs, or use --device cpu where a GPU is short of memory."
        )


class TorchEngine:
    """Runs a checkpoint with torch, in float32, some pictures at a time."""

    name = "torch, float32"
    """For the record of a result."""

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", batch: int = 4) -> None:
        self.device = choose_device(device)
        self.network = checkpoint.network.to(self.device)
        self.classes = len(checkpoint.metadata.classes)
        self.batch = batch

    def run(self, pictures: NDArray[np.uint8], *, keep_maps: bool = False) -> EngineOutput:
        """Answer for pictures (n, side, side); n may be any number, 0 included.

        Maps are megabytes a picture: keep them for the slices of one study, not for a cohort.
        """
        if not len(pictures):
            return self._empty()
        parts = []
        done = 0
        while done < len(pictures):
            part = self._as_many_as_fit(pictures[done:], keep_maps)
            parts.append(part)
            done += len(part.probabilities)
        weights = [part.detail_weights for part in parts if part.detail_weights is not None]
        return EngineOutput(
            probabilities=np.concatenate([part.probabilities for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            detail_probabilities=np.concatenate([part.detail_probabilities for part in parts]),
            detail_weights=np.concatenate(weights) if weights else None,
            maps=tuple(map(torch.cat, zip(*(part.maps for part in parts), strict=True))),
        )

    def _as_many_as_fit(self, pictures: NDArray[np.uint8], keep_maps: bool) -> EngineOutput:
        """The first pictures, `batch` of them; from now on fewer where memory does not suffice.

        Raises:
            NoMemoryError: not even one picture fits.
        """
        while True:
            try:
                return self._run_batch(pictures[: self.batch], keep_maps)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.batch == 1:
                    raise NoMemoryError from error
            self.batch //= 2  # outside of `except`, whose traceback holds what did not fit
            logger.warning(
                "not enough memory: the network is asked about %d pictures at a time", self.batch
            )

    @torch.inference_mode()
    def _run_batch(self, pictures: NDArray[np.uint8], keep_maps: bool) -> EngineOutput:
        # TF32 would round on some GPUs what every other device computes in full float32.
        with torch.backends.cudnn.flags(allow_tf32=False):
            seen = torch.from_numpy(pictures[:, None]).to(self.device)
            pixels, maps = self.network.look(seen)
            output = self.network.answer(pixels, maps)
        count = len(pictures)
        boxes = torch.zeros(count, 0, 4)
        details = torch.zeros(count, 0, self.classes)
        weights = None
        if output.details is not None:
            boxes, weights = output.details.boxes, output.details.weights
            details = output.details.logits.float().softmax(dim=-1)
        return EngineOutput(
            probabilities=_numpy(output.logits.float().softmax(dim=-1)),
            features=_numpy(output.features),
            boxes=_numpy(boxes),
            detail_probabilities=_numpy(details),
            detail_weights=None if weights is None else _numpy(weights),
            maps=maps if keep_maps else (),
        )

    def _empty(self) -> EngineOutput:
        return EngineOutput(
            probabilities=np.zeros((0, self.classes), np.float32),
            features=np.zeros((0, 0), np.float32),
            boxes=np.zeros((0, 0, 4), np.float32),
            detail_probabilities=np.zeros((0, 0, self.classes), np.float32),
        )


def check_numbers(output: EngineOutput) -> None:
    """CheckpointError unless every probability is a number: NaN would pass for "no answer"."""
    broken = int((~np.isfinite(output.probabilities).all(axis=1)).sum())
    if broken:
        raise CheckpointError(
            f"The network of this checkpoint answers {broken} of "
            f"{counted(len(output.probabilities), 'slice')} with no number (NaN), where "
            "probabilities are expected: its training diverged or its file is damaged; "
            "install it again, or train it with a smaller rate."
        )


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has a class for it on a GPU, and only words for it on a CPU."""
    words = ("allocate memory", "not enough memory", "out of memory")
    is_named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_named or any(word in str(error) for word in words)


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one; a device that is asked for by name must exist.

    Raises:
        ConfigError: if the device does not exist; nothing else is taken in its place.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"{name!r} is no device: use auto, cpu, cuda or cuda:0.") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"Device {name!r} is not supported: use auto, cpu, cuda or cuda:0.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"Device {name!r} was asked for, but this machine has {torch.cuda.device_count()} "
            f"usable GPUs: use --device cpu, or auto to take what is there."
        )
    return device


def _numpy(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
