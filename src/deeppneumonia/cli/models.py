"""`deeppneumonia models`: which checkpoints there are, and whether they are the released ones."""

from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import AsJson, print_json

app = typer.Typer(help="List, verify and import model files.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context) -> None:
    """List, verify and import model files; without a further word, list them."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show the released and the imported models, and whether the file of each is whole."""
    from deeppneumonia.workflows.releases import survey

    found = survey()
    if as_json:
        print_json(found)
        return
    for model in found:
        mark = "ok" if model["verified"] else "MISSING OR DAMAGED"
        default = " (default)" if model["default"] else ""
        typer.echo(f"{model['name']}{default}: {', '.join(model['classes'])}  {mark}")
        card = model["card"] or "none (imported)"
        typer.echo(f"    sha256 {model['sha256']}\n    card   {card}")


@app.command("verify")
def verify(
    checkpoint: Annotated[str, typer.Argument(help="A model's name or a file.")] = "default",
) -> None:
    """Check a model file by its hash and by loading it; exit code 3 when it is not whole."""
    from deeppneumonia.workflows.releases import open_checkpoint, release_name

    loaded = open_checkpoint(checkpoint)
    name = release_name(loaded.sha256) or checkpoint
    typer.echo(f"ok  {name} ({loaded.metadata.model})  sha256 {loaded.sha256}")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors) brought by hand.")],
) -> None:
    """Copy a checkpoint into the model folder, where it is known by its file name."""
    from deeppneumonia.workflows.releases import import_checkpoint

    typer.echo(import_checkpoint(file))
