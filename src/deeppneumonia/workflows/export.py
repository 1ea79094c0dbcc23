"""A checkpoint made fast on CPUs, if its answers stay: `deeppneumonia export`."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.datasets import (
    SliceCache,
    SliceEntry,
    build_cache,
    join_manifests,
    read_manifests,
)
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import ConfigError, ManifestError
from deeppneumonia.evaluation import answer_set
from deeppneumonia.evaluation.metrics import patient_auc
from deeppneumonia.inference import EngineOutput, TorchEngine
from deeppneumonia.inference.engine_files import Precision
from deeppneumonia.reports import check_output
from deeppneumonia.workflows.releases import engine_folder, open_checkpoint
from deeppneumonia.workflows.scored import labelled

MAX_SCORE_MOVE = 0.01
"""An engine is refused when any slice's probability of any class moves by this or more."""

MAX_AUC_MOVE = 0.002
"""Or the patients' AUC by this or more, in either direction."""

CALIBRATION_SHARE = 4
"""Every fourth patient gives int8 its ranges; the others judge it."""

CALIBRATION_PICTURES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How far an engine's answers lie from those of torch, on the same pictures."""

    slices: int
    patients: int
    score: float
    """Greatest difference of a slice's probability."""

    score_mean: float
    """Mean difference, over slices and classes."""

    auc: float
    """The patients' AUC minus that of torch; 0 where the manifest holds one label only."""

    auc_torch: float | None
    """Of torch; None where the manifest holds one label only."""

    same_boxes: float
    """Share of the details that lie in exactly the same place; 1 without details."""

    @property
    def is_accepted(self) -> bool:
        """Whether the answers are the same for all that matters."""
        return self.score < MAX_SCORE_MOVE and abs(self.auc) < MAX_AUC_MOVE


@dataclass(frozen=True, slots=True)
class Exported:
    """The engine that was written, and what was tried before it."""

    folder: Path
    precision: Precision
    tried: Mapping[Precision, Moved]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "precision": self.precision.value,
            "tried": {precision.value: asdict(moved) for precision, moved in self.tried.items()},
        }


def export_engine(
    checkpoint_name: str | Path,
    manifests: Sequence[Path],
    *,
    precisions: Sequence[str] = tuple(Precision),
    out: Path | None = None,
    data: Path | None = None,
    label_map: Mapping[str, str] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the first of these engines whose answers on labelled patients stay those of torch.

    Args:
        checkpoint_name: a released name or a path.
        manifests: CSVs of labelled patients who calibrate and judge; several are joined.
        precisions: of `Precision`, tried in this order.
        out: the engine's folder; beside the checkpoint, where it is found by itself, when None.
        data: what the paths in the manifests are relative to; their own folders when None.
        label_map: other words for labels.
        cache: folder of cut slices to reuse; thrown away when None.
        progress: called with (rows preprocessed, rows in all).

    Raises:
        ConfigError: if no engine is accepted, or what makes them is not installed.
        CheckpointError, ManifestError: if something that was named cannot be used.
        OutputError: if the folder cannot be written to.
    """
    checkpoint = open_checkpoint(checkpoint_name)
    named = read_manifests(manifests, folder=data, label_map=label_map)
    manifest = labelled(join_manifests(named), checkpoint)
    folder = out or engine_folder(checkpoint_name)
    check_output(folder)  # before what takes minutes
    with tempfile.TemporaryDirectory() as place:
        cut = build_cache(
            manifest, checkpoint.metadata.preprocessing, cache or Path(place), progress
        )
        wanted = [Precision(each) for each in precisions]
        return _first_accepted(checkpoint, cut, wanted, folder)


def _first_accepted(
    checkpoint: Checkpoint, cut: SliceCache, precisions: Sequence[Precision], folder: Path
) -> Exported:
    try:
        from deeppneumonia.inference.export import backbone_graph, quantised, write_engine
        from deeppneumonia.inference.openvino import CompiledBackbone

        graph = backbone_graph(checkpoint)
    except ImportError as error:
        raise _not_installed(error) from error
    calibrates, judges = _parts(cut)
    engine = TorchEngine(checkpoint, device="cpu")
    pictures = cut.pictures_of(judges)
    truth = engine.run(pictures)
    tried = {}
    for precision in precisions:
        wanted = graph
        if precision is Precision.INT8:
            seen = cut.pictures_of(calibrates[:: max(1, len(calibrates) // CALIBRATION_PICTURES)])
            try:
                wanted = quantised(graph, checkpoint, seen)
            except ImportError as error:
                raise _not_installed(error) from error
        checkpoint.network.backbone.runner = CompiledBackbone(wanted, precision)
        moved = tried[precision] = how_far(engine.run(pictures), truth, judges, checkpoint)
        checkpoint.network.backbone.runner = None
        if moved.is_accepted:
            write_engine(folder, wanted, checkpoint, precision, asdict(moved))
            return Exported(folder, precision, tried)
    raise ConfigError(_refusal(tried))


def _parts(cut: SliceCache) -> tuple[list[SliceEntry], list[SliceEntry]]:
    """Slices of every fourth patient, and of the others."""
    patients = sorted({entry.patient_id for entry in cut.kept})
    if len(patients) < CALIBRATION_SHARE:
        raise ManifestError(
            f"The manifest has {counted(len(patients), 'patient')} with usable slices, an engine "
            f"needs {CALIBRATION_SHARE} or more to be judged: name a larger one."
        )
    chosen = set(patients[::CALIBRATION_SHARE])
    calibrates = [entry for entry in cut.kept if entry.patient_id in chosen]
    return calibrates, [entry for entry in cut.kept if entry.patient_id not in chosen]


def how_far(
    output: EngineOutput, truth: EngineOutput, entries: Sequence[SliceEntry], checkpoint: Checkpoint
) -> Moved:
    """Compare two engines' answers for the same n pictures, slice by slice and patient by patient.

    Args:
        output: of the engine in question.
        truth: of torch.
        entries: whose pictures they were.
        checkpoint: the one that both asked.
    """
    apart = np.abs(output.probabilities - truth.probabilities)
    mine, theirs = (_patient_auc(each, entries, checkpoint) for each in (output, truth))
    boxes = (output.boxes == truth.boxes).all(axis=-1)
    return Moved(
        slices=len(entries),
        patients=len({entry.patient_id for entry in entries}),
        score=float(apart.max()),
        score_mean=float(apart.mean()),
        auc=0.0 if mine is None or theirs is None else mine - theirs,
        auc_torch=theirs,
        same_boxes=float(boxes.mean()) if boxes.size else 1.0,
    )


def _patient_auc(
    output: EngineOutput, entries: Sequence[SliceEntry], checkpoint: Checkpoint
) -> float | None:
    classes = checkpoint.metadata.classes
    labels = np.array([classes.index(entry.label) for entry in entries])
    if len(np.unique(labels)) < 2:
        return None
    groups = [entry.patient_id for entry in entries]
    found = answer_set(labels, output.probabilities, groups, classes.labels).patients
    return patient_auc(found.labels, found.probabilities, found.groups)


def _not_installed(error: ImportError) -> ConfigError:
    return ConfigError(
        f"Making an engine needs {error.name or 'OpenVINO'}, which is not installed: "
        f"pip install 'deeppneumonia[export]'."
    )


def _refusal(tried: Mapping[Precision, Moved]) -> str:
    found = "; ".join(
        f"{precision}: scores by {moved.score:.4f}, patient AUC by {moved.auc:+.4f}"
        for precision, moved in tried.items()
    )
    return (
        f"No engine was written, since answers moved too far ({found}; less than "
        f"{MAX_SCORE_MOVE} and {MAX_AUC_MOVE} are allowed): keep to torch, or try --precision f32."
    )
