"""All files of one answer, put into a folder whole: a crash leaves none of them half-written."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deeppneumonia.domain import KeySlice, PatientDiagnosis, SourceKind, Volume
from deeppneumonia.errors import DeepPneumoniaError
from deeppneumonia.files import write_together
from deeppneumonia.reports.composition import compose
from deeppneumonia.reports.document import ReportContext
from deeppneumonia.reports.figures import draw_key_slice, to_png
from deeppneumonia.reports.html import render_html
from deeppneumonia.reports.json import to_json
from deeppneumonia.reports.pdf import render_pdf

OWN_NAMES = frozenset(
    ["result.json", "report.html", "report.pdf", "report.dcm", "sr.dcm", "seg.dcm"]
    + [f"key_{number}.{kind}" for number in (1, 2, 3) for kind in ("png", "dcm")]
)
"""Every name that an answer may have; what an earlier answer left under them does not stay."""


class OutputError(DeepPneumoniaError):
    """The files of an answer cannot be written where they are wanted."""


def write_outputs(
    diagnosis: PatientDiagnosis,
    key_slices: Sequence[KeySlice],
    out_dir: Path,
    context: ReportContext,
) -> tuple[Path, ...]:
    """Write `result.json report.html report.pdf key_*.png` and, for DICOM input, `*.dcm`.

    Everything is made first, written into a hidden folder beside its place, and then renamed
    file by file, `result.json` last: where that file is, all of its answer is. Files of an earlier
    answer are replaced or removed.

    Args:
        diagnosis: the answer to the study.
        key_slices: one for each of `diagnosis.key_slices`, in that order; none on a refusal.
        out_dir: made if it does not exist.
        context: what came in, when, and what read it.

    Returns:
        The files, `result.json` first.

    Raises:
        OutputError: if the folder cannot be written to.
    """
    files = _contents(diagnosis, key_slices, context)
    try:
        write_together(out_dir, files, stale=OWN_NAMES)
    except OSError as error:
        raise _not_written(out_dir, error) from error
    return tuple(out_dir / name for name in files)


def check_output(out_dir: Path) -> None:
    """OutputError now, and not after minutes of work, where `write_outputs` could not write."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out_dir):
            pass
    except OSError as error:
        raise _not_written(out_dir, error) from error


def _not_written(out_dir: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The result cannot be written to {out_dir} ({error.strerror or error}): free some "
        f"space or choose another folder with --out, one that you may write to."
    )


def _contents(
    diagnosis: PatientDiagnosis, key_slices: Sequence[KeySlice], context: ReportContext
) -> dict[str, bytes]:
    document = compose(diagnosis, key_slices, context)
    drawings = [
        draw_key_slice(key, finding, document.geometry)
        for key, finding in zip(key_slices, document.key_findings, strict=False)
    ]
    pictures = [to_png(drawing) for drawing in drawings]
    answer = json.dumps(to_json(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)
    pdf = render_pdf(document, pictures)
    files = {
        "result.json": f"{answer}\n".encode(),
        "report.html": render_html(document, pictures).encode(),
        "report.pdf": pdf,
    }
    files |= {f"key_{number}.png": png for number, png in enumerate(pictures, start=1)}
    if not _is_dicom(context.volume) and not context.about:
        return files
    from deeppneumonia.reports.dicom import dicom_objects  # highdicom: half a second, if needed

    return files | dicom_objects(diagnosis, key_slices, document, drawings, pdf, context)


def _is_dicom(volume: Volume | None) -> bool:
    if volume is None or volume.study is None or volume.series is None:
        return False
    return volume.study.kind is SourceKind.DICOM and bool(volume.series.files)
