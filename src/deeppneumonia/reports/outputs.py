"""All files of one answer, put into a folder whole: a crash leaves none of them half-written."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deeppneumonia.domain import KeySlice, PatientDiagnosis, SourceKind, Volume
from deeppneumonia.errors import DeepPneumoniaError
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
    file by file, `result.json` last. Files of an earlier answer are replaced or removed.

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
        return _put(files, out_dir)
    except OSError as error:
        raise OutputError(
            f"The result cannot be written to {out_dir} ({error.strerror or error}): free some "
            f"space or choose another folder with --out, one that you may write to."
        ) from error


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
    if not _is_dicom(context.volume):
        return files
    from deeppneumonia.reports.dicom import dicom_objects  # highdicom: half a second, if needed

    return files | dicom_objects(diagnosis, key_slices, document, drawings, pdf, context)


def _is_dicom(volume: Volume | None) -> bool:
    if volume is None or volume.study is None or volume.series is None:
        return False
    return volume.study.kind is SourceKind.DICOM and bool(volume.series.files)


def _put(files: Mapping[str, bytes], out_dir: Path) -> tuple[Path, ...]:
    out_dir.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out_dir))
    try:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        for name in reversed(list(files)):
            (unfinished / name).replace(out_dir / name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for name in OWN_NAMES - files.keys():
        (out_dir / name).unlink(missing_ok=True)
    return tuple(out_dir / name for name in files)
