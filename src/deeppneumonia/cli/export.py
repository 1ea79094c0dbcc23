"""`deeppneumonia export`: a checkpoint made fast on CPUs, or brought to other programs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeppneumonia.cli.console import (
    AsJson,
    CheckpointName,
    LabelMap,
    ManifestFolder,
    Quiet,
    print_json,
    remark,
    renaming,
)
from deeppneumonia.cli.progress import progress_bar

if TYPE_CHECKING:
    from deeppneumonia.workflows.export import Exported


class Wanted(StrEnum):
    """In which numbers the engine computes; after `auto`, in the order in which they are tried."""

    AUTO = "auto"
    INT8 = "int8"
    BF16 = "bf16"
    F32 = "f32"


def export(
    manifest: Annotated[
        list[Path] | None,
        typer.Option("--manifest", "-m", help="CSV of patients who judge it; several are joined."),
    ] = None,
    checkpoint: CheckpointName = "default",
    precision: Annotated[
        Wanted, typer.Option(help="auto: the fastest whose answers stay.")
    ] = Wanted.AUTO,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The engine's folder; beside the checkpoint if not said."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="Write the whole network as ONNX instead, to this file.")
    ] = None,
    data: ManifestFolder = None,
    label_map: LabelMap = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of cut slices, to keep.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make an OpenVINO engine of a checkpoint, if its answers on labelled patients stay.

    `diagnose` then uses it by itself, and says so in its answer. It is refused (exit code 3) when
    any slice's probability moves by 0.01 or more, or the patients' AUC by 0.002. A quarter of the
    patients gives int8 its ranges, the others judge. With --onnx nothing is judged: the network is
    written for other programs, in float32.

    Example: deeppneumonia export -c default -m hospital/manifest.csv
    """
    if onnx is not None:
        from deeppneumonia.workflows.export_onnx import export_onnx

        export_onnx(checkpoint, onnx)
        remark(f"pictures (n, 1, side, side), uint8, to probabilities: {onnx}", quiet=quiet)
        return
    if not manifest:
        raise typer.BadParameter("name patients who judge the engine: --manifest FILE")
    from deeppneumonia.workflows.export import export_engine

    with progress_bar("slices", quiet=quiet) as progress:
        exported = export_engine(
            checkpoint,
            manifest,
            precisions=list(Wanted)[1:] if precision is Wanted.AUTO else [precision],
            out=out,
            data=data,
            label_map=renaming(label_map),
            cache=cache,
            progress=progress,
        )
    if as_json:
        print_json(exported.to_json())
        return
    _print_tried(exported)
    remark(f"engine in {exported.folder}", quiet=quiet)


def _print_tried(exported: "Exported") -> None:
    for tried, moved in exported.tried.items():
        verdict = "accepted" if tried is exported.precision else "too far"
        auc = f"by {moved.auc:+.4f}" if moved.auc_torch is not None else "unknown (one label)"
        typer.echo(
            f"{tried:6}{verdict:10}scores moved by {moved.score:.4f} at most "
            f"({moved.score_mean:.5f} on average) on {moved.slices} slices of {moved.patients} "
            f"patients, their AUC {auc}"
        )
