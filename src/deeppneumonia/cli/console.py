"""What every command shares: where things are printed, how errors look, common options."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.errors import ConfigError, DeepPneumoniaError

OutDir = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for the results; made if missing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
CheckpointName = Annotated[
    str,
    typer.Option(
        "--checkpoint", "-c", help="A released model's name, or the path of a .safetensors file."
    ),
]
LabelMap = Annotated[
    list[str] | None,
    typer.Option("--map", help="Rename a label of the manifest, as cap=bacterial."),
]
ManifestFolder = Annotated[
    Path | None,
    typer.Option(help="Folder that the paths in the manifest are relative to, if not its own."),
]
SCORES = ("auc", "recall", "precision", "f1", "accuracy")


def show_error(error: DeepPneumoniaError | str) -> None:
    """One red line on stderr."""
    typer.secho(f"{error}", fg="red", err=True)


def remark(text: str, *, quiet: bool = False) -> None:
    """A line for people, on stderr, so that stdout stays clean for data."""
    if not quiet:
        typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """Data for programs, on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def score_cell(metric: dict[str, float | None] | None) -> str:
    """A score with its interval for a table of plain text."""
    if not metric or metric["value"] is None:
        return "-"
    if metric.get("low") is None:
        return f"{metric['value']:.3f}"
    return f"{metric['value']:.3f} ({metric['low']:.2f}-{metric['high']:.2f})"


def print_scores(title: str, width: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of `SCORES`: its first heading and how wide that column is, then a line a row."""
    typer.echo(f"{title:{width}}" + "".join(f"{name:>20}" for name in SCORES))
    for row, scores in rows.items():
        cells = (f"{score_cell(scores.get(name)):>20}" for name in SCORES)
        typer.echo(f"{row:{width}}" + "".join(cells))


def is_interactive(*, quiet: bool) -> bool:
    """Whether a progress bar would be seen by anyone."""
    return not quiet and sys.stderr.isatty() and "CI" not in os.environ


def renaming(pairs: Sequence[str] | None) -> dict[str, str]:
    """`cap=bacterial`, as --map takes it, as {"cap": "bacterial"}."""
    found = {}
    for pair in pairs or ():
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise ConfigError(f"--map was given {pair!r}, it takes old=new, as cap=bacterial.")
        found[old] = new
    return found
