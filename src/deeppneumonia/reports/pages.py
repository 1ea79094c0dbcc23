"""What all pages share: how templates are read, and the sheet with the colours of the classes."""

from base64 import b64encode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deeppneumonia.reports.palette import CLASS_COLOURS

_LOADER = PackageLoader("deeppneumonia.reports")
PAGES = Environment(
    loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page_style(*sheets: str) -> Markup:
    """The named sheets as one, after the colours of the classes; on paper always the light ones."""
    light = "".join(f"--c{i}:{one.light};" for i, one in enumerate(CLASS_COLOURS))
    dark = "".join(f"--c{i}:{one.dark};" for i, one in enumerate(CLASS_COLOURS))
    classes = "".join(f".c{i}{{fill:var(--c{i})}}" for i in range(len(CLASS_COLOURS)))
    colours = (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{{light}}}}}{classes}"
    )
    return Markup("\n".join([colours, *(_LOADER.get_source(PAGES, name)[0] for name in sheets)]))


def data_uri(png: bytes) -> str:
    """A PNG file as an address that holds it, so that a page needs no second file."""
    return f"data:image/png;base64,{b64encode(png).decode()}"
