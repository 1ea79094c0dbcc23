"""A collected comparison as tables and figures, and all of them in one page of results."""

import json
import re
from pathlib import Path
from typing import Any

from deeppneumonia.errors import ConfigError
from deeppneumonia.evaluation.comparison_plots import save_confusions, save_roc_of_all
from deeppneumonia.files import write_whole
from deeppneumonia.reports.comparison import comparison_csv, comparison_markdown
from deeppneumonia.workflows.comparison_numbers import comparison_numbers, patient_answers
from deeppneumonia.workflows.comparison_plan import SIX_STATISTICS
from deeppneumonia.workflows.comparison_store import TESTED, Comparison, read_comparison


def write_tables(comparison: Comparison, out: Path) -> dict[str, Any]:
    """Write results.json, results.csv, tables.md and the figures; returns the numbers."""
    numbers = comparison_numbers(comparison)
    write_whole(out / "results.json", json.dumps(numbers, indent=1, allow_nan=False))
    write_whole(out / "results.csv", comparison_csv(numbers))
    draw(comparison, numbers, out / "roc.png", out / "confusion.png")
    figures = {"roc": "roc.png", "confusion": "confusion.png"}
    write_whole(
        out / "tables.md", f"### {numbers['name']}\n\n{comparison_markdown(numbers, figures)}"
    )
    return numbers


def draw(comparison: Comparison, numbers: dict[str, Any], roc: Path, confusion: Path) -> None:
    """The ROC curves and the confusion matrices of the test patients, all networks in each."""
    classes = comparison.classes
    found = {
        name: patient_answers(answers[TESTED], classes)
        for name, answers in comparison.answers.items()
    }
    first = next(iter(found.values()))
    tested = numbers["sets"][TESTED]
    title = f"{numbers['name']}, {len(first.patients)} test patients"
    save_roc_of_all(
        first.labels,
        {name: answers.probabilities for name, answers in found.items()},
        classes,
        roc,
        title=title,
        baseline=SIX_STATISTICS,
    )
    matrices = {name: network["confusion"] for name, network in tested["networks"].items()}
    save_confusions(matrices, classes, confusion, title=title)


def rebuild_results(results: Path, page: Path, figures: Path) -> list[str]:
    """Put the tables of every collected comparison into a page, between its markers.

    Args:
        results: a folder with a folder for each comparison (comparison.json, predictions/).
        page: a Markdown page with `<!-- comparison NAME -->` and `<!-- end of NAME -->` for each.
        figures: folder for the figures.

    Returns:
        The names of the comparisons.

    Raises:
        ConfigError: if the page lacks the markers of one.
    """
    text = page.read_text(encoding="utf-8")
    names = sorted(path.parent.name for path in results.glob("*/comparison.json"))
    for name in names:
        comparison = read_comparison(results / name)
        numbers = comparison_numbers(comparison)
        figures.mkdir(parents=True, exist_ok=True)
        roc, confusion = figures / f"{name}-roc.png", figures / f"{name}-confusion.png"
        draw(comparison, numbers, roc, confusion)
        where = {
            "roc": roc.relative_to(page.parent).as_posix(),
            "confusion": confusion.relative_to(page.parent).as_posix(),
        }
        text = _between_markers(text, name, comparison_markdown(numbers, where), page)
    write_whole(page, text)
    return names


def _between_markers(text: str, name: str, tables: str, page: Path) -> str:
    begin, end = f"<!-- comparison {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if not pattern.search(text):
        raise ConfigError(
            f"{page.name} has no place for the comparison {name}: write the lines {begin} and "
            f"{end} where its tables shall stand, under the command that made it."
        )
    return pattern.sub(lambda _: f"{begin}\n{tables}\n{end}", text, count=1)
