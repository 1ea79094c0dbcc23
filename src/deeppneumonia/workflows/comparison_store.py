"""What every network of a comparison said about every slice, as files that tables are made from.

While a comparison runs each turn (a network, a repeat, a fold) leaves one CSV of answers for each
set of patients, then one JSON of facts, which says that the turn is done. Collected they are
`comparison.json` and `predictions/NAME.csv`: small enough to keep, and all that tables need.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets import SliceEntry
from deeppneumonia.errors import ConfigError
from deeppneumonia.files import write_whole
from deeppneumonia.workflows.scored import cells

FORMAT = "deeppneumonia-comparison-1"
TESTED = "test"
"""The set of the patients of the folds; every other set is external."""

COLUMNS = ("set", "repeat", "fold", "line", "slice_index", "patient_id", "label", "site")


@dataclass(frozen=True, slots=True)
class Turn:
    """One fold of one repeat, both counted from 1."""

    repeat: int
    fold: int

    def __str__(self) -> str:
        return f"r{self.repeat}-f{self.fold}"


@dataclass(frozen=True, slots=True)
class SetAnswers:
    """What one network said about one set of slices, R times."""

    labels: NDArray[np.int64]
    """(n,) class indices."""

    patients: list[str]
    """n patient ids."""

    sites: list[str]
    """n sites."""

    slices: NDArray[np.float64]
    """(R, n, C), not calibrated; NaN where a slice has no answer."""

    temperatures: NDArray[np.float64]
    """(R, n): of the network that was asked."""

    thresholds: NDArray[np.float64]
    """(R, n, T): its operating points for the first class, NaN where it has none."""

    folds: NDArray[np.int64]
    """(R, n): the fold whose network was asked."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A collected comparison."""

    facts: Mapping[str, Any]
    """comparison.json."""

    answers: Mapping[str, Mapping[str, SetAnswers]]
    """For each network, in the order of the tables, its answers for each set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the probabilities."""
        return tuple(self.facts["classes"])


def write_answers(
    path: Path,
    where: tuple[str, Turn],
    classes: Sequence[str],
    entries: Sequence[SliceEntry],
    probabilities: NDArray[np.floating],
) -> None:
    """Write one row per slice, or per refused study, with blank cells where there is no answer.

    Args:
        path: the CSV.
        where: which set was asked about, in which turn.
        classes: C labels.
        entries: n of them.
        probabilities: (n, C).
    """
    name, turn = where
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *classes])
    for entry, row in zip(entries, probabilities, strict=True):
        index = "" if entry.slice_index is None else entry.slice_index
        whose = (entry.patient_id, entry.label, entry.site)
        writer.writerow([name, turn.repeat, turn.fold, entry.line, index, *whose, *cells(row)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue())


def collect(
    folder: Path,
    facts: Mapping[str, Any],
    turns_of: Mapping[str, Sequence[Path]],
) -> Comparison:
    """Bring the files of all turns together as comparison.json and predictions/NAME.csv.

    Args:
        folder: gets those two.
        facts: what holds for the whole comparison.
        turns_of: for each network the JSON of each of its turns.
    """
    networks = {}
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    for name, turns in turns_of.items():
        networks[name] = {"turns": [json.loads(path.read_text()) for path in turns]}
        files = [file for path in turns for file in sorted(path.parent.glob(f"{path.stem}.*.csv"))]
        texts = [file.read_text() for file in files]
        header = texts[0].partition("\n")[0]
        rows = "".join(text.partition("\n")[2] for text in texts)
        write_whole(folder / "predictions" / f"{name}.csv", f"{header}\n{rows}")
    whole = {"format": FORMAT, **facts, "networks": networks}
    write_whole(folder / "comparison.json", json.dumps(whole, indent=1, allow_nan=False))
    return read_comparison(folder)


def read_comparison(folder: Path) -> Comparison:
    """Read a collected comparison.

    Raises:
        ConfigError: if the folder holds none, or one of another format.
    """
    try:
        facts = json.loads((folder / "comparison.json").read_text())
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(
            f"{folder} holds no comparison.json: name the --out folder of a comparison."
        ) from error
    if facts.get("format") != FORMAT:
        raise ConfigError(f"{folder} holds a {facts.get('format')}, {FORMAT} is read here.")
    answers = {
        name: _answers_of(folder / "predictions" / f"{name}.csv", facts["classes"], network)
        for name, network in facts["networks"].items()
    }
    return Comparison(facts, answers)


def _answers_of(
    path: Path, classes: Sequence[str], network: Mapping[str, Any]
) -> dict[str, SetAnswers]:
    """The answers of one network for each set, the set of the folds first."""
    of_turn = {Turn(turn["repeat"], turn["fold"]): turn for turn in network["turns"]}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["set"] for row in rows}, key=lambda name: (name != TESTED, name))
    return {
        name: _one_set([row for row in rows if row["set"] == name], name, classes, of_turn)
        for name in names
    }


def _one_set(
    rows: Sequence[Mapping[str, str]],
    name: str,
    classes: Sequence[str],
    of_turn: Mapping[Turn, Mapping[str, Any]],
) -> SetAnswers:
    """Rows as arrays: a repeat answers once about the folds' patients, a turn about the others."""
    asked: dict[object, list[Mapping[str, str]]] = {}
    for row in rows:
        turn = _turn_of(row)
        asked.setdefault(turn.repeat if name == TESTED else turn, []).append(row)
    ordered = [sorted(found, key=_place) for found in asked.values()]
    first = ordered[0]
    if any([_place(row) for row in found] != [_place(row) for row in first] for found in ordered):
        raise ConfigError(
            f"The repeats answer about different slices of {name}: a fold is missing, or the "
            f"pictures have changed between them. Compare again in another folder."
        )
    return SetAnswers(
        labels=np.array([list(classes).index(row["label"]) for row in first], np.int64),
        patients=[row["patient_id"] for row in first],
        sites=[row["site"] for row in first],
        slices=np.array(
            [[[float(row[c] or "nan") for c in classes] for row in found] for found in ordered]
        ),
        temperatures=np.array([[t["temperature"] for t in _turns(f, of_turn)] for f in ordered]),
        thresholds=np.array(
            [[t["operating_points"] for t in _turns(f, of_turn)] for f in ordered], np.float64
        ),
        folds=np.array([[t["fold"] for t in _turns(f, of_turn)] for f in ordered], np.int64),
    )


def _turns(
    rows: Iterable[Mapping[str, str]], of_turn: Mapping[Turn, Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    return (of_turn[_turn_of(row)] for row in rows)


def _turn_of(row: Mapping[str, str]) -> Turn:
    return Turn(int(row["repeat"]), int(row["fold"]))


def _place(row: Mapping[str, str]) -> tuple[int, int]:
    return int(row["line"]), int(row["slice_index"] or -1)
