"""What speed is compared with: other readers, the plain pipeline, other runtimes, lungmask."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch

from deeppneumonia.domain import Unit, Volume
from deeppneumonia.models import Network, create_model
from deeppneumonia.preprocessing import PreprocessConfig, apply_window, examine
from deeppneumonia.readers import read_volume

LUNGMASK_PX = 256
LUNGMASK_SLICES = 4
"""Measured; every slice costs the same, so that 300 cost 75 times as much."""


def plain_read(study: Path) -> np.ndarray:
    """SimpleITK: the whole series, every slice decoded, as (slices, rows, columns) in HU."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(study)))
    return SimpleITK.GetArrayFromImage(reader.Execute())


def plain_pipeline(study: Path, network: Network, config: PreprocessConfig) -> None:
    """The whole volume read and windowed, lungs found slice by slice, one batch in eager float32.

    No report, no heat map, no check of anything: what a script in a notebook does.
    """
    hu = plain_read(study)
    apply_window(hu, center_hu=config.window_center_hu, width_hu=config.window_width_hu)
    found = examine(volume_of(hu, study), config)
    pictures = torch.from_numpy(np.stack([one.picture for one in found.kept])[:, None])
    with torch.inference_mode():
        network(pictures).logits.softmax(dim=-1)


def volume_of(hu: np.ndarray, study: Path) -> Volume:
    """An array that is already read, with the geometry that our reader finds."""
    from deeppneumonia.domain.volume import ArraySource

    if study not in _affines:
        _affines[study] = read_volume(study).affine
    return Volume(pixels=ArraySource(hu), unit=Unit.HU, affine=_affines[study])


_affines: dict[Path, np.ndarray] = {}


def monai_read(study: Path) -> None:
    """MONAI's readers on the same folder, without the import."""
    from monai.transforms import LoadImage

    LoadImage(reader="PydicomReader", image_only=True)(str(study))


def lungmask_network() -> torch.nn.Module:
    """R231's architecture with random weights: the same arithmetic as with trained ones."""
    from lungmask.resunet import UNet

    network = UNet(
        n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False
    )
    return network.eval()


def segment(network: torch.nn.Module) -> None:
    """LUNGMASK_SLICES slices at the size that lungmask gives to its network."""
    with torch.inference_mode():
        network(torch.zeros(LUNGMASK_SLICES, 1, LUNGMASK_PX, LUNGMASK_PX)).argmax(dim=1)


def eight_passes() -> tuple[Network, PreprocessConfig]:
    """The published system: the picture, six details and a zoom through the backbone, 448 px."""
    return create_model("drenet", 3).eval(), PreprocessConfig(picture_px=448)


def onnx_runtime(checkpoint: Path) -> Callable[[np.ndarray], Any]:
    """The whole network in plain ONNX Runtime: float32, as exported, its own choice of threads."""
    import onnxruntime

    from deeppneumonia.workflows.export_onnx import export_onnx

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "network.onnx"
        export_onnx(checkpoint, file)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pictures: session.run(None, {name: pictures[:, None]})
