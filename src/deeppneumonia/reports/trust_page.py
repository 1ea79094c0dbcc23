"""What a network relies on, as one page: no network, no script, no second file."""

import math
from dataclasses import dataclass

from deeppneumonia.reports.audit import WIDTH, AucTable, auc_scale
from deeppneumonia.reports.document import DISCLAIMER, Fact
from deeppneumonia.reports.pages import PAGES, page_style

CHART_WIDTH, CHART_HEIGHT = 300.0, 150.0


@dataclass(frozen=True, slots=True)
class Curve:
    """How wrong the answers are that are given, for each share of patients answered."""

    title: str
    points: tuple[tuple[float, float], ...]
    """(coverage, risk), both 0 to 1."""

    area: float

    def path(self, highest: float) -> str:
        """The curve as points of an SVG polyline; `highest` is the risk at the top."""
        return " ".join(
            f"{CHART_WIDTH * coverage:.1f},{CHART_HEIGHT * (1 - risk / highest):.1f}"
            for coverage, risk in self.points
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPage:
    """All that the page says, from top to bottom."""

    headline: str
    status: str
    """`clean` or `found`."""

    grave: tuple[str, ...]
    """What speaks against the network, in whole sentences."""

    fine: tuple[str, ...]
    """What was looked at and is as it should be."""

    tables: tuple[AucTable, ...]
    abstention: tuple[Fact, ...]
    curves: tuple[Curve, ...]
    provenance: tuple[Fact, ...]
    disclaimer: str = DISCLAIMER

    @property
    def highest_risk(self) -> float:
        """Top of the chart: a fifth or more of them, so that its quarters are whole per cents."""
        risks = [risk for curve in self.curves for _, risk in curve.points]
        return math.ceil(5 * max([0.1, *risks])) / 5


def render_trust(page: TrustPage) -> str:
    """The whole page as one HTML file."""
    return PAGES.get_template("trust.html.j2").render(
        page=page,
        scale=auc_scale(),
        width=WIDTH,
        chart=(CHART_WIDTH, CHART_HEIGHT),
        style=page_style("report.css", "audit.css"),
    )
