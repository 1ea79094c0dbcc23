"""A whole network as ONNX, for programs that are not this one."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from deeppneumonia.errors import ConfigError
from deeppneumonia.files import replacing
from deeppneumonia.models import Network
from deeppneumonia.workflows.releases import open_checkpoint

PLAIN = ("probabilities", "features")
DETAILS = ("boxes", "detail_probabilities")


class _Answers(nn.Module):
    """What a network says, as tensors side by side."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        output = self.network(pictures)
        answers: tuple[Tensor, ...] = (output.logits.softmax(dim=-1), output.features)
        if output.details is not None:
            answers += (output.details.boxes, output.details.logits.softmax(dim=-1))
        return answers


@torch.no_grad()
def export_onnx(checkpoint_name: str | Path, file: Path) -> tuple[str, ...]:
    """Write a checkpoint's network: pictures (n, 1, S, S), uint8, to what is named in the result.

    Pictures are made by this program's preprocessing, and the patient's answer from the slices'
    is calibrated here too: neither is in the file.

    Args:
        checkpoint_name: a released name or a path.
        file: to be written.

    Returns:
        The names of the outputs: `probabilities` (n, C), `features` (n, D), and for networks that
        look at details `boxes` (n, K, 4) and `detail_probabilities` (n, K, C).

    Raises:
        ConfigError: if the exporter is not installed, or `file` is a folder.
    """
    if file.is_dir():  # before what takes minutes
        raise ConfigError(f"{file} is a folder, and the network becomes a file: name one in it.")
    file.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = open_checkpoint(checkpoint_name)
    side_px = checkpoint.metadata.preprocessing.picture_px
    pictures = torch.zeros(2, 1, side_px, side_px, dtype=torch.uint8)
    answers = _Answers(checkpoint.network).eval()
    names = (*PLAIN, *DETAILS)[: len(answers(pictures))]
    try:
        with _in_silence():
            program = torch.onnx.export(
                answers,
                (pictures,),
                input_names=["pictures"],
                output_names=list(names),
                dynamic_shapes={"pictures": {0: torch.export.Dim("n", min=1)}},
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs {error.name or 'onnx and onnxscript'}, which is not installed: "
            f"pip install 'deeppneumonia[export]'."
        ) from error
    assert program is not None
    with replacing(file) as unfinished:
        program.save(unfinished)
    return names


@contextmanager
def _in_silence() -> Iterator[None]:
    """The exporter tells of torchvision, which no network here needs, and of its own old habits."""
    exporter = logging.getLogger("torch.onnx")
    before = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(before)
