"""A backbone run by OpenVINO: nearly all of a network's arithmetic, in less precision and time.

An exported graph takes the place of the backbone's stages. What is made of its maps (where to look,
the details, the answer, heat maps) stays in torch and float32, so that every network of the house
runs this way, and nothing but the maps is inexact.
"""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.inference.engine_files import GRAPH, Precision, read_facts
from deeppneumonia.inference.engines import TorchEngine

if TYPE_CHECKING:
    import openvino

BATCH = 16
"""Pictures whose maps are held at a time: 40 MB with a ResNet-50 at 320 px."""


class OpenVinoEngine(TorchEngine):
    """Runs a checkpoint whose backbone was exported; on the CPU.

    The checkpoint's network belongs to the engine from then on: its backbone runs here.

    Args:
        checkpoint: the one that was exported.
        folder: what `write_engine` wrote.

    Raises:
        CheckpointError: if the folder is damaged or belongs to another checkpoint.
        ImportError: if OpenVINO is not installed.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        super().__init__(checkpoint, device="cpu", batch=BATCH)
        facts = read_facts(folder, checkpoint_sha256=checkpoint.sha256)
        self.name = f"OpenVINO, {facts.precision}"
        self.network.backbone.runner = CompiledBackbone(folder / GRAPH, facts.precision)


class CompiledBackbone:
    """The stages of a backbone, compiled for each size of picture when it first comes.

    One picture to a core at a time: its maps then stay in that core's cache, and what a picture
    gets does not depend on its neighbours. Threads that ask at the same time wait for each other.
    """

    def __init__(self, graph: "Path | openvino.Model", precision: Precision) -> None:
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(graph) if isinstance(graph, Path) else graph
        # What is not named here, OpenVINO chooses by the processor: bfloat16 where there is one.
        inside = "bf16" if precision is Precision.BFLOAT16 else "f32"
        self._hints = {"INFERENCE_PRECISION_HINT": inside, "PERFORMANCE_HINT": "THROUGHPUT"}
        self._requests: dict[int, list[Any]] = {}
        self._lock = Lock()

    def __call__(self, pixels: Tensor, count: int) -> tuple[Tensor, ...]:
        """The last `count` maps of pixels (N, 3, S, S), as `Backbone.last_maps`."""
        with self._lock:  # a request that another thread has begun takes no other picture
            return self._maps_of(pixels)[-count:]

    def _maps_of(self, pixels: Tensor) -> tuple[Tensor, ...]:
        from openvino import Tensor as Shared

        requests = self._requests_for(pixels.shape[-1])
        seen = pixels.permute(0, 2, 3, 1).contiguous().numpy()  # (N, S, S, 3), as it lies
        shapes = [tuple(tensor.shape) for tensor in requests[0].output_tensors]
        maps = [np.empty((len(seen), *shape[1:]), np.float32) for shape in shapes]
        for row in range(len(seen)):
            request = requests[row % len(requests)]
            request.wait()
            request.set_input_tensor(Shared(seen[row : row + 1], shared_memory=True))
            for number, kept in enumerate(maps):
                request.set_output_tensor(number, Shared(kept[row : row + 1], shared_memory=True))
            request.start_async()
        for request in requests:
            request.wait()
        return tuple(map(torch.from_numpy, maps))

    def _requests_for(self, side: int) -> list[Any]:
        """As many as run at the same time, for pictures of one size."""
        if side not in self._requests:
            model = self._model.clone()
            model.reshape([1, side, side, 3])
            compiled = self._core.compile_model(model, "CPU", self._hints)
            count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._requests[side] = [compiled.create_infer_request() for _ in range(count)]
        return self._requests[side]
