"""`deeppneumonia prepare`: studies and pictures of a manifest, cut to the lungs, in one cache."""

from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import AsJson, Quiet, print_json
from deeppneumonia.cli.progress import progress_bar


def prepare(
    recipe: Annotated[Path, typer.Argument(help="Recipe (TOML); see configs/.")],
    data: Annotated[Path, typer.Option(help="Folder that the recipe's manifests lie in.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the cache.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cut every slice of a recipe's manifests to the lungs, once, for training.

    What is refused is counted, with its reason. A run that was stopped goes on where it was.
    `train --out runs/NAME` looks for its pictures in runs/cache.

    Example: deeppneumonia prepare configs/drenet_three_class.toml --data data --out runs/cache
    """
    from deeppneumonia.workflows.prepare import prepare_cache
    from deeppneumonia.workflows.recipes import read_recipe

    with progress_bar("slices", quiet=quiet) as progress:
        cache = prepare_cache(read_recipe(recipe), data, out, progress=progress)
    coverage = cache.coverage()
    if as_json:
        print_json(coverage)
        return
    for label, counts in coverage.items():
        words = ", ".join(f"{name} {count}" for name, count in counts.items())
        typer.echo(f"{label:12}{words}")
