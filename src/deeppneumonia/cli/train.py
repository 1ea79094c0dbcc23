"""`deeppneumonia train`: a recipe in, a checkpoint out."""

from pathlib import Path
from typing import Annotated

import typer

from deeppneumonia.cli.console import AsJson, Device, Quiet, print_json, remark
from deeppneumonia.cli.progress import progress_bar


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (TOML); see configs/.")],
    data: Annotated[Path, typer.Option(help="Folder that the recipe's manifests lie in.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of this run; resumes it.")],
    start: Annotated[
        str | None,
        typer.Option(help="Start weights: a .safetensors or .pth file, or `imagenet`."),
    ] = None,
    ray_workers: Annotated[
        int | None,
        typer.Option(min=1, help="Train in so many processes of the Ray cluster around us."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network by a recipe, and calibrate it on its validation patients.

    Writes checkpoint.safetensors, history.csv, learning_curve.png, the split, and the state
    from which a stopped run goes on with the same result. The test patients are not touched.

    Several processes train as one with --ray-workers, or when torchrun starts this command:
    torchrun --nproc-per-node 2 -m deeppneumonia train RECIPE --data data --out runs/drenet

    Example: deeppneumonia train configs/drenet_three_class.toml --data data --out runs/drenet
    """
    from deeppneumonia.workflows.recipes import read_recipe
    from deeppneumonia.workflows.train import train_recipe

    if ray_workers:
        from deeppneumonia.workflows.ray_train import train_on_ray

        typer.echo(train_on_ray(recipe, data, out, ray_workers, start=start, device=device))
        return
    with progress_bar("preparing slices", quiet=quiet) as progress:
        result = train_recipe(
            read_recipe(recipe),
            data,
            out,
            start=start,
            device=device,
            progress=progress,
            quiet=quiet,
        )
    if result is None:  # a process that helped the first, which speaks for all
        return
    if as_json:
        print_json(result.summary())
        return
    remark(f"best validation patient AUC {result.best_auc:.3f}, epoch {result.best_epoch}")
    typer.echo(result.checkpoint)
