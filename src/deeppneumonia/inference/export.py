"""From a torch backbone to a graph that OpenVINO runs, in float32, bfloat16 or int8.

int8: ranges of all activations are taken from pictures, weights are rounded channel by channel
(post-training quantisation, Jacob et al., CVPR 2018, by NNCF).
"""

import tempfile
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.files import write_together
from deeppneumonia.inference.engine_files import (
    FACTS,
    GRAPH,
    WEIGHTS,
    EngineFacts,
    Precision,
    facts_to_json,
)

if TYPE_CHECKING:
    import openvino


class _Maps(nn.Module):
    """The stages of a checkpoint's backbone: what is exported."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.backbone = checkpoint.network.backbone
        self.count = checkpoint.network.maps_read

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.backbone.last_maps(pixels, self.count)


@torch.no_grad()
def backbone_graph(checkpoint: Checkpoint) -> "openvino.Model":
    """The backbone as a graph from pixels (N, S, S, 3) to the maps that the network reads.

    It is traced at the checkpoint's picture size and takes others too.

    Args:
        checkpoint: on the CPU, its backbone run by torch.
    """
    from openvino import Layout, preprocess
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # By its parts, and not by openvino.convert_model, which reports its use to the maker.
    side_px = checkpoint.metadata.preprocessing.picture_px
    traced = torch.jit.trace(  # type: ignore[no-untyped-call]
        _Maps(checkpoint), torch.zeros(1, 3, side_px, side_px), check_trace=False
    )
    decoder = TorchScriptPythonDecoder(traced)  # the graph lives on it until it is converted
    front = FrontEndManager().load_by_framework("pytorch")
    model = front.convert(front.load(decoder))
    model.reshape([-1, 3, -1, -1])
    steps = preprocess.PrePostProcessor(model)
    steps.input().tensor().set_layout(Layout("NHWC"))
    steps.input().model().set_layout(Layout("NCHW"))
    return steps.build()


@torch.no_grad()
def quantised(
    graph: "openvino.Model", checkpoint: Checkpoint, pictures: NDArray[np.uint8]
) -> "openvino.Model":
    """The graph in int8, its ranges taken from pictures (n, S, S), a hundred or more.

    Raises:
        ImportError: if NNCF is not installed.
    """
    import nncf

    def as_pixels(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = checkpoint.network.normalise(torch.from_numpy(picture[None, None]))
        return np.asarray(pixels.permute(0, 2, 3, 1).contiguous().numpy())

    seen = nncf.Dataset([as_pixels(picture) for picture in np.array(pictures)])
    return nncf.quantize(
        graph, seen, preset=nncf.QuantizationPreset.MIXED, subset_size=len(pictures)
    )


def write_engine(
    folder: Path,
    graph: "openvino.Model",
    checkpoint: Checkpoint,
    precision: Precision,
    moved: Mapping[str, float | int | str],
) -> None:
    """Write what `OpenVinoEngine` reads, whole or not at all.

    Args:
        folder: made where missing; an engine that is there is replaced.
        graph: of the checkpoint's backbone.
        checkpoint: whose backbone it is.
        precision: the one it is to be run in.
        moved: how far its answers lie from torch's.
    """
    import openvino

    with tempfile.TemporaryDirectory() as place:
        openvino.serialize(graph, Path(place) / GRAPH, Path(place) / WEIGHTS)
        contents = {name: (Path(place) / name).read_bytes() for name in (GRAPH, WEIGHTS)}
    facts = EngineFacts(
        checkpoint_sha256=checkpoint.sha256,
        precision=precision,
        sha256={name: sha256(content).hexdigest() for name, content in contents.items()},
        made_with={name: version(name) for name in ("openvino", "torch")},
        moved=moved,
    )
    write_together(folder, {FACTS: facts_to_json(facts).encode(), **contents})
