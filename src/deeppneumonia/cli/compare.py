"""`deeppneumonia compare`: networks on the same folds of the same patients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deeppneumonia.cli.console import AsJson, Device, Quiet, print_json, print_scores, remark
from deeppneumonia.cli.progress import progress_bar

Models = Annotated[
    list[str] | None,
    typer.Option(help="Networks to compare; all of the recipe's unless given."),
]
MoreModels = Annotated[
    list[str] | None, typer.Argument(metavar="MODEL", help="Further names after --models.")
]
RecipeFile = Annotated[
    Path | None, typer.Option(help="Comparison recipe (TOML); see configs/compare/.")
]
DataFolder = Annotated[Path | None, typer.Option(help="Folder that the recipe's manifests lie in.")]
WeightsFolder = Annotated[
    Path | None, typer.Option(help="Folder that the recipe's start weights lie in.")
]


def compare(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of this comparison; resumes it.")
    ],
    more: MoreModels = None,
    recipe: RecipeFile = None,
    manifest: Annotated[
        list[Path] | None,
        typer.Option("--manifest", "-m", help="CSV; may be given several times."),
    ] = None,
    models: Models = None,
    folds: Annotated[int | None, typer.Option(help="3 or more; 5 unless given.")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Deal the patients into folds so many times; 1 unless given.")
    ] = None,
    external: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of patients that nothing is trained on; may be repeated."),
    ] = None,
    data: DataFolder = None,
    weights: WeightsFolder = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train and test networks on the same folds of the same patients, beside six statistics.

    Writes tables.md, results.csv, results.json, the ROC curves and confusion matrices of all
    networks, and every answer. A comparison that was stopped goes on where it was.

    Example: deeppneumonia compare -m manifest.csv --models resnet50 drenet --folds 5 --out runs/c
    """
    from deeppneumonia.workflows.compare import compare as run
    from deeppneumonia.workflows.comparison_plan import read_plan

    plan = read_plan(
        recipe,
        data=data,
        weights=weights,
        manifests=manifest or (),
        external=external or (),
        models=[*(models or ()), *(more or ())],
        folds=folds,
        repeats=repeats,
    )
    with progress_bar("slices", quiet=quiet) as progress:
        results = run(
            plan,
            out,
            device=device,
            progress=progress,
            announce=lambda text: remark(text, quiet=quiet),
            quiet=quiet,
        )
    if as_json:
        print_json(results)
        return
    _print_table(results)
    remark(f"tables and figures in {out}", quiet=quiet)


def _print_table(results: dict[str, Any]) -> None:
    """The patients of the folds, one network a line."""
    networks = results["sets"]["test"]["networks"]
    print_scores("patients", 24, {name: one["patient"] for name, one in networks.items()})
