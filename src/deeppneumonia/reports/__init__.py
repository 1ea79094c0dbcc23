"""One answer on a page, on paper, as JSON and as DICOM, all from the same document."""

from deeppneumonia.reports.composition import compose
from deeppneumonia.reports.document import DISCLAIMER, ReportContext, ReportDocument
from deeppneumonia.reports.figures import draw_key_slice, to_png
from deeppneumonia.reports.html import render_html
from deeppneumonia.reports.json import to_json
from deeppneumonia.reports.outputs import OutputError, check_output, write_outputs
from deeppneumonia.reports.pdf import render_pdf

__all__ = [
    "DISCLAIMER",
    "OutputError",
    "ReportContext",
    "ReportDocument",
    "check_output",
    "compose",
    "draw_key_slice",
    "render_html",
    "render_pdf",
    "to_json",
    "to_png",
    "write_outputs",
]
