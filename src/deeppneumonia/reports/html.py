"""The report as one page that needs nothing else: no network, no script, no second file."""

from collections.abc import Sequence

from markupsafe import Markup

from deeppneumonia.reports.chart import to_svg
from deeppneumonia.reports.document import ReportDocument
from deeppneumonia.reports.pages import PAGES, data_uri, page_style


def render_html(document: ReportDocument, pictures: Sequence[bytes]) -> str:
    """The whole report as one HTML file.

    Args:
        document: what it says.
        pictures: PNG files, one for each of `document.key_findings`.
    """
    return PAGES.get_template("report.html.j2").render(
        document=document,
        key_findings=list(zip(document.key_findings, map(data_uri, pictures), strict=True)),
        # Safe: made by our own code, which escapes the words in it.
        strip=Markup(to_svg(document)) if document.slices else None,
        style=page_style("report.css"),
    )
