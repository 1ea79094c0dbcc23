"""The report as one page that needs nothing else: no network, no script, no second file."""

from base64 import b64encode
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deeppneumonia.reports.chart import to_svg
from deeppneumonia.reports.document import ReportDocument
from deeppneumonia.reports.palette import CLASS_COLOURS

_PAGES = Environment(
    loader=PackageLoader("deeppneumonia.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_html(document: ReportDocument, pictures: Sequence[bytes]) -> str:
    """The whole report as one HTML file.

    Args:
        document: what it says.
        pictures: PNG files, one for each of `document.key_findings`.
    """
    return _PAGES.get_template("report.html.j2").render(
        document=document,
        key_findings=list(zip(document.key_findings, map(_data_uri, pictures), strict=True)),
        # Safe: made by our own code, which escapes the words in it.
        strip=Markup(to_svg(document)) if document.slices else None,
        style=Markup(_style()),
    )


def _style() -> str:
    loader = _PAGES.loader
    assert loader is not None
    sheet, _, _ = loader.get_source(_PAGES, "report.css")
    light = "".join(f"--c{i}:{one.light};" for i, one in enumerate(CLASS_COLOURS))
    dark = "".join(f"--c{i}:{one.dark};" for i, one in enumerate(CLASS_COLOURS))
    classes = "".join(f".c{i}{{fill:var(--c{i})}}" for i in range(len(CLASS_COLOURS)))
    return (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{{light}}}}}{classes}\n{sheet}"
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
