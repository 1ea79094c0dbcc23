"""The command line: each command reads, calls one workflow and prints; errors end here."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from deeppneumonia.cli import (
    audit,
    compare,
    diagnose,
    dicom_node,
    doctor,
    evaluate,
    export,
    finetune,
    info,
    models,
    phantom,
    prepare,
    serve,
    split,
    train,
    users,
)
from deeppneumonia.cli.console import remark, show_error
from deeppneumonia.errors import DeepPneumoniaError

app = typer.Typer(
    name="deeppneumonia",
    help="Diagnosis of pneumonia from chest CT that a radiologist can check. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Limits = Annotated[
    str | None,
    typer.Option(
        help="Other limits on the files that are read, as seconds=20,memory_bytes=2e9; "
        "docs/reference/limits.md has the names.",
        metavar="NAME=NUMBER,...",
    ),
]
STOPPED = (130, 143)
"""What Ctrl-C, by typer, and SIGTERM end with."""

STOPPED_WORDS = (
    "Stopped. Nothing is half-written: the same command goes on from what it keeps, or begins anew."
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(version("deeppneumonia"))
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
]


@app.callback()
def before_any_command(limits: Limits = None, show_version: Version = False) -> None:  # noqa: ARG001
    """What holds for every command."""
    if limits is not None:
        from deeppneumonia.workflows.limits import set_limits

        set_limits(limits)


for command in (
    diagnose,
    prepare,
    serve,
    split,
    audit,
    train,
    evaluate,
    compare,
    finetune,
    export,
    phantom,
    doctor,
    info,
    dicom_node,
):
    app.command()(getattr(command, command.__name__.rpartition(".")[2]))
app.add_typer(models.app, name="models")
app.add_typer(users.app, name="users")


def main() -> None:
    """Run the command line; the only place where an error becomes a line and an exit code."""
    try:
        app()
    except DeepPneumoniaError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        show_error(
            f"{error.filename or 'A file'} cannot be read or written "
            f"({error.strerror or error}): check its folder, your permissions and the free space."
        )
        sys.exit(1)
    except MemoryError:
        show_error(
            "This machine has not enough free memory for the work: close other programs, or run it "
            "on a machine with more."
        )
        sys.exit(1)
    except SystemExit as end:
        if end.code in STOPPED:
            remark(STOPPED_WORDS)
        raise
