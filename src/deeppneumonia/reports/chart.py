"""The slices from end to end, each a column of its probabilities: one layout, two renderings."""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

from reportlab.graphics import shapes
from reportlab.lib.colors import HexColor

from deeppneumonia.domain.wording import counted
from deeppneumonia.reports.document import ReportDocument, SliceLine
from deeppneumonia.reports.palette import CLASS_COLOURS, INK, QUIET, RULE, class_colour

WIDTH, HEIGHT = 640.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 44.0
WIDEST_COLUMN = 26.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; y grows downwards."""

    x: float
    y: float
    width: float
    height: float
    paint: int | str
    """The position of a class, or `rule` or `ink`."""


@dataclass(frozen=True, slots=True)
class Note:
    """A word or number on the chart."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    is_strong: bool = False


def layout(document: ReportDocument) -> tuple[tuple[Bar, ...], tuple[Note, ...]]:
    """What the chart consists of, in a field of WIDTH x HEIGHT with y downwards.

    A slice stands at its place in the series. Key slices bear their number; a dropped slice has
    an x instead of a column.
    """
    slices = document.slices
    first, last = slices[0].slice_index, slices[-1].slice_index
    room = WIDTH - LEFT - RIGHT
    step = room / (last - first + 1)
    gaps = [b.slice_index - a.slice_index for a, b in pairwise(slices)]
    width = min(0.82 * step * min(gaps, default=1), WIDEST_COLUMN)
    bars, notes = _axis(document.ends)
    for line in slices:
        centre = LEFT + (line.slice_index - first + 0.5) * step
        bars += _column(line, centre, width)
        notes += _column_notes(line, centre)
    return tuple(bars), tuple(notes)


def _axis(ends: tuple[str, str]) -> tuple[list[Bar], list[Note]]:
    field = HEIGHT - TOP - BOTTOM
    bars = [
        Bar(LEFT, TOP + field * (1 - level), WIDTH - LEFT - RIGHT, 0.75, "rule")
        for level in (0.0, 0.5, 1.0)
    ]
    notes = [
        Note(LEFT - 6, TOP + field * (1 - level) + 4, f"{level:.0%}", "end")
        for level in (0.0, 0.5, 1.0)
    ]
    notes += [
        Note(LEFT, HEIGHT - 6, ends[0], "start"),
        Note(WIDTH - RIGHT, HEIGHT - 6, ends[1], "end"),
    ]
    return bars, notes


def _column(line: SliceLine, centre: float, width: float) -> list[Bar]:
    """The classes on top of each other, the checkpoint's first one at the bottom."""
    field, bars = HEIGHT - TOP - BOTTOM, []
    floor = TOP + field
    for one in sorted(line.probabilities, key=lambda one: one.position):
        height = field * one.probability
        floor -= height
        bars.append(Bar(centre - width / 2, floor, width, height, one.position))
    if line.is_key:
        bars.append(Bar(centre - width / 2, TOP + field + 4, width, 2.5, "ink"))
    return bars


def _column_notes(line: SliceLine, centre: float) -> list[Note]:
    base = HEIGHT - BOTTOM
    if line.dropped_because:
        return [Note(centre, base - 4, "x")]
    return [Note(centre, base + 20, str(line.slice_index), is_strong=True)] if line.is_key else []


def to_svg(document: ReportDocument) -> str:
    """The chart for a page, painted by the classes of the page's style sheet."""
    bars, notes = layout(document)
    rectangles = "".join(
        f'<rect x="{bar.x:.2f}" y="{bar.y:.2f}" width="{bar.width:.2f}" '
        f'height="{bar.height:.2f}" class="{_paint_class(bar.paint)}"/>'
        for bar in bars
    )
    words = "".join(
        f'<text x="{note.x:.2f}" y="{note.y:.2f}" text-anchor="{note.anchor}" '
        f'class="note{note.is_strong:d}">{escape(note.text)}</text>'
        for note in notes
    )
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(describe(document))}">{rectangles}{words}</svg>'
    )


def to_drawing(document: ReportDocument, width_pt: float) -> shapes.Drawing:
    """The same chart for the PDF, `width_pt` wide."""
    scale = width_pt / WIDTH
    drawing = shapes.Drawing(width_pt, HEIGHT * scale)
    group = shapes.Group(transform=(scale, 0, 0, -scale, 0, HEIGHT * scale))
    bars, notes = layout(document)
    for bar in bars:
        colour = HexColor(_paint_colour(bar.paint))
        group.add(
            shapes.Rect(bar.x, bar.y, bar.width, bar.height, fillColor=colour, strokeColor=None)
        )
    drawing.add(group)
    for note in notes:
        drawing.add(
            shapes.String(
                note.x * scale,
                (HEIGHT - note.y) * scale,
                note.text,
                textAnchor=note.anchor,
                fontName="Helvetica-Bold" if note.is_strong else "Helvetica",
                fontSize=11 * scale,
                fillColor=HexColor(INK if note.is_strong else QUIET),
            )
        )
    return drawing


def describe(document: ReportDocument) -> str:
    """The chart in one sentence."""
    read = [line for line in document.slices if not line.dropped_because]
    return (
        f"Probabilities of {counted(len(read), 'slice')} from {' to '.join(document.ends)}; "
        "the table below the chart holds the same numbers."
    )


def _paint_class(paint: int | str) -> str:
    return paint if isinstance(paint, str) else f"c{paint % len(CLASS_COLOURS)}"


def _paint_colour(paint: int | str) -> str:
    if isinstance(paint, int):
        return class_colour(paint).light
    return {"rule": RULE, "ink": INK}[paint]
