"""Which engine runs a checkpoint on this machine."""

from importlib.util import find_spec
from pathlib import Path

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.errors import ConfigError
from deeppneumonia.inference import TorchEngine
from deeppneumonia.inference.engine_files import FACTS
from deeppneumonia.workflows.releases import engine_folder

ENGINES = ("auto", "torch", "openvino")


def open_engine(
    name_or_path: str | Path | None, checkpoint: Checkpoint, device: str, wanted: str = "auto"
) -> TorchEngine:
    """The engine that was accepted for a checkpoint where there is one, or torch.

    Args:
        name_or_path: of the checkpoint; its engine lies beside it.
        checkpoint: the same, loaded.
        device: auto, cpu, cuda or cuda:N; OpenVINO runs on the CPU.
        wanted: `auto` takes OpenVINO where the checkpoint has an engine, OpenVINO is installed
            and there is no GPU; `torch` and `openvino` take that and nothing else.

    Raises:
        CheckpointError: if the engine is damaged or belongs to another checkpoint.
        ConfigError: if what was asked for by name is not there.
    """
    if wanted not in ENGINES:
        raise ConfigError(f"{wanted!r} is no engine: use {', '.join(ENGINES)}.")
    torch_engine = TorchEngine(checkpoint, device=device)
    folder = engine_folder(name_or_path)
    missing = _missing(folder, torch_engine.device.type)
    if wanted == "openvino" and missing:
        raise ConfigError(f"OpenVINO cannot run this checkpoint: {missing}; or use --engine torch.")
    if wanted == "torch" or missing:
        return torch_engine
    from deeppneumonia.inference.openvino import OpenVinoEngine

    return OpenVinoEngine(checkpoint, folder)


def _missing(folder: Path, device: str) -> str:
    """What keeps OpenVINO from running; empty when nothing does."""
    if device != "cpu":
        return "it runs on the CPU, so use --device cpu"
    if not (folder / FACTS).is_file():  # written last: an export that broke off left no engine
        return f"{folder.name} is not there, so make it with `deeppneumonia export`"
    if find_spec("openvino") is None:
        return "it is not installed, so run pip install 'deeppneumonia[openvino]'"
    return ""
