"""A manifest searched for what would spoil a result: leaks, contradictions and labels given away.

The question behind it: could a network score well on these patients without knowing anything
about lungs? Everything is measured on the manifest alone; no checkpoint is needed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from deeppneumonia.datasets import LeakReport, Manifest, ManifestRow, find_leaks, read_manifest
from deeppneumonia.datasets.cache import Progress
from deeppneumonia.datasets.traces import (
    Look,
    Trace,
    Unreadable,
    find_traces,
    previews_by_line,
    thumbnails_by_line,
)
from deeppneumonia.evaluation import picture_statistics
from deeppneumonia.evaluation.guessing import Guess, guess_labels
from deeppneumonia.evaluation.shortcuts import STATISTICS
from deeppneumonia.files import write_whole
from deeppneumonia.reports.audit import render_audit
from deeppneumonia.workflows.audit_findings import (
    Question,
    Seen,
    headline_of,
    is_clean,
    sentences_of,
)
from deeppneumonia.workflows.audit_page import audit_page

Words = Mapping[str, str]

QUESTIONS: tuple[tuple[Look, Question], ...] = (
    (
        Look.SCALE,
        Question(
            "grey scale",
            "where the grey levels begin and end, and which are missing: the window of the export",
            Seen.MAKING,
        ),
    ),
    (
        Look.BACKGROUND,
        Question(
            "background",
            "levels, noise and sharpness well outside of both lungs",
            Seen.MAKING,
        ),
    ),
    (
        Look.FORMAT,
        Question("file format", "format, colour mode, JPEG quantisation tables", Seen.MAKING),
    ),
    (
        Look.TAGS,
        Question("scanner tags", "DICOM: maker, kernel, dose, spacing, position", Seen.MAKING),
    ),
    (Look.SIZE, Question("picture size", "rows, columns, spacing", Seen.MAKING)),
    (
        Look.SILHOUETTE,
        Question("lung silhouette", "the outline of the lungs, without what is in it", Seen.BODY),
    ),
)
SITE = Question("site name", "the word that the manifest has for the hospital", Seen.MAKING)
SIX = Question("six statistics", "six grey-level numbers of the cut-out lung", Seen.BODY)
CUT_SIZE = Question(
    "picture size", "rows and columns; these pictures are cut to the lung, so it is its size",
    Seen.BODY,
)  # fmt: skip

UNDERSTOOD = ("lung_masked", "window_level", "window_width")
"""Columns that readers understand, and that might give the label away as well as any other."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that was found in one manifest."""

    manifest: Manifest
    leaks: LeakReport
    guesses: tuple[tuple[Question, Guess], ...]
    traces: tuple[Trace, ...]
    """Of patients who have one label: what `Band.rows` count."""

    pictures: int
    """How many pictures and slices were looked at, for all patients."""

    unreadable: tuple[Unreadable, ...]


def audit_manifest(
    path: Path,
    out: Path,
    *,
    data: Path | None = None,
    label_map: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Audit a manifest; writes audit.json and audit.html into `out` and returns the former.

    Args:
        path: the CSV; rows that contradict each other are listed, not refused.
        out: made where missing.
        data: what the paths are relative to; the folder of the CSV when None.
        label_map: other words for labels, as {"cap": "bacterial"}.
        progress: called with (rows looked at, rows in all).

    Raises:
        ManifestError: if the manifest cannot be read at all.
    """
    manifest = read_manifest(path, folder=data, label_map=label_map, refuse_contradictions=False)
    out.mkdir(parents=True, exist_ok=True)
    traces, unreadable = find_traces(manifest, progress)
    rows = _of_one_label(manifest)
    lines = {row.line for row in rows}
    seen = tuple(trace for trace in traces if trace.line in lines)
    leaks = find_leaks(manifest, thumbnails_by_line(traces))
    found = Audit(manifest, leaks, _guesses(rows, seen), seen, len(traces), unreadable)
    summary = summarise(found)
    write_whole(out / "audit.json", json.dumps(summary, indent=2, allow_nan=False))
    write_whole(
        out / "audit.html", render_audit(audit_page(found, summary, previews_by_line(traces)))
    )
    return summary


def summarise(found: Audit) -> dict[str, Any]:
    """The audit as plain JSON types; lines of the manifest stand for patients."""
    manifest, leaks = found.manifest, found.leaks
    return {
        "headline": headline_of(leaks, found.guesses),
        "findings": sentences_of(leaks, found.guesses),
        "clean": is_clean(leaks, found.guesses),
        "manifest_sha256": manifest.sha256,
        "version": version("deeppneumonia"),
        "patients": _patients_by(manifest, lambda row: row.label),
        "sites": _patients_by(manifest, lambda row: row.site or "(none named)"),
        "rows": len(manifest.rows),
        "pictures_examined": found.pictures,
        "leaks": {
            "shared_patients": [asdict(each) for each in leaks.shared_patients],
            "identical": [asdict(each) for each in leaks.identical],
            "near_identical": [asdict(each) for each in leaks.near_identical],
            "label_conflicts": [list(lines) for lines in leaks.label_conflicts],
            "not_compared": list(leaks.not_compared),
        },
        "guesses": {question.title: _plain(question, guess) for question, guess in found.guesses},
        "unreadable": [asdict(each) for each in found.unreadable],
        "not_done": [
            f"{question.title}: {guess.how}" for question, guess in found.guesses
            if not guess.measured
        ],
    }  # fmt: skip


def _plain(question: Question, guess: Guess) -> dict[str, Any]:
    return {
        "seen": question.seen.value,
        "meaning": question.meaning,
        "auc": dict(guess.auc),
        "per_class": {label: dict(auc) for label, auc in guess.per_class.items()},
        "patients": guess.patients,
        "gives_away": guess.gives_away,
        "strongest": guess.strongest,
        "bands": [{"band": band.name, "patients": dict(band.patients)} for band in guess.bands],
        "how": guess.how,
    }


def _patients_by(manifest: Manifest, of_row: Callable[[ManifestRow], str]) -> dict[str, int]:
    whose = {(of_row(row), row.patient_id) for row in manifest.rows}
    return {word: sum(w == word for w, _ in whose) for word in sorted({w for w, _ in whose})}


def _of_one_label(manifest: Manifest) -> list[ManifestRow]:
    """The rows of patients whose rows agree on what they have."""
    return [
        row
        for rows in manifest.patients.values()
        if len({row.label for row in rows}) == 1
        for row in rows
    ]


def _guesses(
    rows: Sequence[ManifestRow], seen: Sequence[Trace]
) -> tuple[tuple[Question, Guess], ...]:
    """Every question with its answer."""
    by_line = {row.line: row for row in rows}
    of_traces = [by_line[trace.line] for trace in seen]
    cut = any(row.lung_masked for row in rows)
    found: list[tuple[Question, Sequence[ManifestRow], Sequence[Words | None]]] = [
        (
            CUT_SIZE if cut and look is Look.SIZE else question,
            of_traces,
            [trace.values.get(look) for trace in seen],
        )
        for look, question in QUESTIONS
    ]
    found.append((SITE, rows, [{"site": row.site} if row.site else None for row in rows]))
    found.append((SIX, of_traces, _six_statistics(seen)))
    found += [(_question(name), rows, words) for name, words in _columns(rows)]
    return tuple((question, _guess(question, of, words)) for question, of, words in found)


def _guess(
    question: Question, rows: Sequence[ManifestRow], evidence: Sequence[Words | None]
) -> Guess:
    labels, groups = [row.label for row in rows], [row.patient_id for row in rows]
    return guess_labels(evidence, labels, groups, what=question.title)


def _six_statistics(traces: Sequence[Trace]) -> list[Words | None]:
    found: list[Words | None] = []
    for trace in traces:
        if trace.lung_picture is None:
            found.append(None)
            continue
        (numbers,) = picture_statistics(np.asarray(trace.lung_picture)[None])
        found.append(dict(zip(STATISTICS, map(repr, numbers.tolist()), strict=True)))
    return found


def _question(name: str) -> Question:
    return Question(f"column {name}", "carried along in the manifest", Seen.COLUMN)


def _columns(rows: Sequence[ManifestRow]) -> list[tuple[str, list[Words | None]]]:
    """Every further column that says something: two different values or more."""
    further = list(dict.fromkeys(name for row in rows for name in row.extra))
    columns: dict[str, list[str]] = {
        name: [str(value) if (value := getattr(row, name)) is not None else "" for row in rows]
        for name in UNDERSTOOD
    }
    columns |= {name: [row.extra.get(name, "") for row in rows] for name in further}
    return [
        (name, [{name: word} for word in words])
        for name, words in columns.items()
        if len(set(words)) > 1
    ]
