"""From what an audit found to the page that shows it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets.traces import Trace
from deeppneumonia.evaluation.guessing import Band, Guess
from deeppneumonia.reports.audit import AucLine, AucTable, AuditPage, Group, Thumbnail
from deeppneumonia.reports.document import Fact
from deeppneumonia.reports.wording import counted
from deeppneumonia.workflows.audit_findings import Question, Seen

if TYPE_CHECKING:
    from deeppneumonia.workflows.audit import Audit

MOST_PAIRS = 12
PICTURES_PER_BAND = 4

STATUS = {True: "clean", False: "found", None: "unmeasured"}

Previews = Mapping[int, NDArray[np.uint8]]

TABLES = (
    (
        Seen.MAKING,
        "What scanner and export leave behind",
        "None of this is the patient. A label that can be guessed from here is given away.",
    ),
    (
        Seen.BODY,
        "What may also be the disease",
        "A label that can be guessed from here may be the disease, or the export. It is the line "
        "that a network has to beat before it has shown anything.",
    ),
    (
        Seen.COLUMN,
        "Columns of the manifest",
        "A network never sees these words, but may see what they stand for. Columns that are part "
        "of the diagnosis, such as a severity, tell the label of course.",
    ),
)


def audit_page(found: "Audit", summary: Mapping[str, Any], previews: Previews) -> AuditPage:
    """Everything that `summary` says in numbers, with a small picture of each line."""
    alike = _alike(found, previews)
    return AuditPage(
        status=STATUS[summary["clean"]],
        headline=summary["headline"],
        findings=tuple(summary["findings"]),
        labels=tuple(summary["patients"]),
        who=_who(found),
        leaks=_leaks(summary["leaks"]),
        alike=tuple(alike[:MOST_PAIRS]),
        more_alike=max(0, len(alike) - MOST_PAIRS),
        tables=tuple(_table(found, *table) for table in TABLES if _lines(found, table[0])),
        bands=_all_bands(found),
        not_done=(*summary["not_done"], *_unreadable(summary)),
        provenance=(
            Fact("Rows", f"{summary['rows']}, of which {summary['pictures_examined']} pictures or "
                 "slices were looked at"),
            Fact("Manifest, sha256", summary["manifest_sha256"]),
            Fact("DeepPneumonia", summary["version"]),
        ),
    )  # fmt: skip


def _who(found: "Audit") -> tuple[tuple[str, tuple[int, ...]], ...]:
    rows = found.manifest.rows
    labels = sorted({row.label for row in rows})

    def line(title: str, keys: Sequence[tuple[str, str]]) -> tuple[str, tuple[int, ...]]:
        different = set(keys)
        return title, tuple(sum(label == one for one, _ in different) for label in labels)

    lines = [
        line("patients", [(row.label, row.patient_id) for row in rows]),
        line("rows", [(row.label, str(row.line)) for row in rows]),
    ]
    for title in ("site", "split"):
        words = sorted({getattr(row, title) for row in rows})
        lines += [
            line(
                f"patients, {title} {word or '(none named)'}",
                [(row.label, row.patient_id) for row in rows if getattr(row, title) == word],
            )
            for word in words
            if len(words) > 1 or word
        ]
    return tuple(lines)


def _leaks(leaks: Mapping[str, Sequence[Any]]) -> tuple[Fact, ...]:
    names = {
        "shared_patients": "patients in two splits or with two labels",
        "identical": "files that are the same, byte for byte",
        "near_identical": "pairs of pictures that look the same",
        "label_conflicts": "of all these, with different labels",
        "not_compared": "rows that could not be compared by look",
    }
    return tuple(
        Fact(title, _counted([_lines_of(each) for each in leaks[name]]))
        for name, title in names.items()
    )


def _counted(lines: Sequence[str]) -> str:
    """The number, and where the first few stand."""
    if not lines:
        return "0"
    shown = "; ".join(lines[:5]) + ("; ..." if len(lines) > 5 else "")
    return f"{len(lines)} ({'line' if shown.isdigit() else 'lines'} {shown})"


def _lines_of(each: Any) -> str:
    lines = each["lines"] if isinstance(each, Mapping) else each
    lines = list(lines) if isinstance(lines, list | tuple) else [lines]
    return ", ".join(map(str, lines[:4])) + (", ..." if len(lines) > 4 else "")


def _alike(found: "Audit", previews: Previews) -> list[Group]:
    """Pictures that are the same or look it, side by side."""
    pairs = [(each.lines, "the same file") for each in found.leaks.identical]
    pairs += [
        (each.lines, f"correlation {each.correlation:.4f}")
        for each in sorted(found.leaks.near_identical, key=lambda each: -each.correlation)
    ]
    by_line = {row.line: row for row in found.manifest.rows}
    groups = []
    for lines, how in pairs:
        shown = [line for line in lines[:4] if line in previews]
        thumbnails = tuple(
            Thumbnail(previews[line], f"line {line}, {by_line[line].label}") for line in shown
        )
        groups.append(Group(how, f"lines {_lines_of(lines)}", thumbnails, {}))
    return groups


def _lines(found: "Audit", seen: Seen) -> list[tuple[Question, Guess]]:
    return [(question, guess) for question, guess in found.guesses if question.seen is seen]


def _table(found: "Audit", seen: Seen, title: str, remark: str) -> AucTable:
    return AucTable(title, remark, tuple(_line(*one) for one in _lines(found, seen)))


def _line(question: Question, guess: Guess) -> AucLine:
    remark = guess.how
    if guess.measured:
        is_column = question.seen is Seen.COLUMN  # whose only value is itself
        remark = "" if is_column else f"most telling: {guess.strongest}"
    if len(guess.per_class) > 2:
        each = (f"{label} {_number(auc['value'])}" for label, auc in guess.per_class.items())
        remark = f"{remark}; ".lstrip("; ") + f"against the rest: {', '.join(each)}"
    return AucLine(
        title=question.title,
        meaning=question.meaning,
        value=guess.auc["value"],
        low=guess.auc["low"],
        high=guess.auc["high"],
        patients=guess.patients if guess.measured else 0,
        gives_away=guess.gives_away,
        remark=remark,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _all_bands(found: "Audit") -> tuple[tuple[str, tuple[Group, ...]], ...]:
    """The bands of everything that gives the label away and is seen in pictures."""
    away = [one for one in _lines(found, Seen.MAKING) if one[1].gives_away and one[1].bands]
    return tuple(
        (
            f"{question.title}: {guess.strongest}",
            tuple(_band(band, found) for band in guess.bands),
        )
        for question, guess in away
        if question.title != "site name"
    )


def _band(band: Band, found: "Audit") -> Group:
    """Some pictures of one band, of different patients, evenly spread."""
    by_line = {row.line: row for row in found.manifest.rows}
    first: dict[str, Trace] = {}
    for row in band.rows:
        trace = found.traces[row]
        first.setdefault(by_line[trace.line].patient_id, trace)
    several = list(first.values())
    step = max(1, len(several) // PICTURES_PER_BAND)
    thumbnails = tuple(
        Thumbnail(trace.preview, f"line {trace.line}, {by_line[trace.line].label}")
        for trace in several[::step][:PICTURES_PER_BAND]
    )
    return Group(
        band.name, counted(sum(band.patients.values()), "patient"), thumbnails, band.patients
    )


def _unreadable(summary: Mapping[str, Any]) -> list[str]:
    rows = summary["unreadable"]
    if not rows:
        return []
    return [
        f"{counted(len(rows), 'row')} could not be read ({'line' if len(rows) == 1 else 'lines'} "
        f"{', '.join(str(row['line']) for row in rows[:8])}): {rows[0]['reason']}"
    ]
