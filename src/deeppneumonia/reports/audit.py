"""The audit of a manifest as one page: no network, no script, no second file."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.reports.document import DISCLAIMER, Fact
from deeppneumonia.reports.figures import to_png
from deeppneumonia.reports.pages import PAGES, data_uri, page_style

LEAST_AUC, WIDTH = 0.2, 320.0
"""Left end and length, in units, of the scale on which AUCs are drawn."""

BADGES = {"clean": "clean", "found": "found", "unmeasured": "not measured"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture and what it is; never whose it is."""

    grey: NDArray[np.uint8]
    """(height, width)."""

    caption: str

    @property
    def uri(self) -> str:
        """The picture as a PNG inside the page."""
        return data_uri(to_png(np.asarray(cv2.cvtColor(self.grey, cv2.COLOR_GRAY2RGB), np.uint8)))


@dataclass(frozen=True, slots=True)
class Group:
    """Thumbnails that belong together: two alike pictures, or one band of a value."""

    title: str
    remark: str
    thumbnails: tuple[Thumbnail, ...]
    counts: Mapping[str, int]
    """Patients by label; empty where they are not counted."""

    @property
    def total(self) -> int:
        """Patients in all."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class AucLine:
    """One row of the table of guesses."""

    title: str
    meaning: str
    value: float | None
    low: float | None
    high: float | None
    patients: int
    gives_away: bool
    remark: str
    """The value that tells most, or why nothing was measured."""

    @property
    def words(self) -> str:
        """`0.93 (0.88-0.97)`, or a dash."""
        return auc_in_words(self.value, self.low, self.high)

    def place(self, auc: float) -> str:
        """Where an AUC stands on the scale, from the left."""
        return _place(max(auc, LEAST_AUC))


@dataclass(frozen=True, slots=True)
class AucTable:
    """Guesses that mean the same when they succeed."""

    title: str
    remark: str
    lines: tuple[AucLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """All that the page says, from top to bottom."""

    status: str
    """`clean`, `found` or `unmeasured`."""

    headline: str
    findings: tuple[str, ...]
    """Whole sentences, the gravest first."""

    labels: tuple[str, ...]
    who: tuple[tuple[str, tuple[int, ...]], ...]
    """Rows of the table of contents: a title, and a number for each label."""

    leaks: tuple[Fact, ...]
    alike: tuple[Group, ...]
    more_alike: int
    """Pairs that are not shown."""

    tables: tuple[AucTable, ...]
    bands: tuple[tuple[str, tuple[Group, ...]], ...]
    """For each finding: what it is about, and its bands."""

    not_done: tuple[str, ...]
    provenance: tuple[Fact, ...]
    disclaimer: str = DISCLAIMER


def render_audit(page: AuditPage) -> str:
    """The whole page as one HTML file."""
    return PAGES.get_template("audit.html.j2").render(
        page=page,
        badge=BADGES[page.status],
        scale=auc_scale(),
        width=WIDTH,
        style=page_style("report.css", "audit.css"),
    )


def auc_scale() -> list[tuple[str, float]]:
    """The ticks of an AUC table: place along its WIDTH, and value."""
    ticks = (0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
    return [(_place(tick), tick) for tick in ticks]


def _place(auc: float) -> str:
    return f"{WIDTH * (auc - LEAST_AUC) / (1 - LEAST_AUC):.1f}"


def auc_in_words(value: float | None, low: float | None, high: float | None) -> str:
    """An AUC with its interval, as far as they are defined.

    >>> auc_in_words(0.93, 0.88, 0.97), auc_in_words(0.93, None, None)
    ('0.93 (0.88-0.97)', '0.93')
    """
    if value is None:
        return "-"
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}-{high:.2f})"
