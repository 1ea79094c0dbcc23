"""Manifests from and to CSV files, with every line checked against its columns and the disk."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from deeppneumonia.datasets.manifest import (
    OPTIONAL,
    REQUIRED,
    Manifest,
    ManifestRow,
    check_contradictions,
    moved_rows,
    to_csv,
)
from deeppneumonia.datasets.splits import TEST, TRAIN, VALIDATION
from deeppneumonia.domain.labels import spelled
from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import ManifestError
from deeppneumonia.files import write_whole


def read_manifest(
    path: Path,
    *,
    folder: Path | None = None,
    label_map: Mapping[str, str] | None = None,
    refuse_contradictions: bool = True,
) -> Manifest:
    """Read a manifest and check every line of it.

    Args:
        path: a CSV file, UTF-8 with or without a byte order mark, with commas or, as Excel writes
            in Europe, semicolons.
        folder: what the paths are relative to; the folder of the CSV when None.
        label_map: other words for labels, such as `{"cap": "bacterial"}`; the rest stay.
        refuse_contradictions: False keeps rows that contradict each other (a path named twice, a
            patient with two labels or in two splits), for an audit that has to list them.

    Raises:
        ManifestError: with the line number; nothing to read, a missing column, a blank patient id,
            path or label, a path that leaves the folder or points nowhere, a value that is none.
    """
    content = _content_of(path)
    folder = folder or path.parent
    renamed = {spelled(old): spelled(new) for old, new in (label_map or {}).items()}
    rows = tuple(_rows_of(content, folder, renamed))
    if not rows:
        raise ManifestError(f"The manifest {path.name} has no rows: add a line for each study.")
    if refuse_contradictions:
        check_contradictions(rows)
    if label_map:
        content = to_csv(rows)
    return Manifest(rows, folder, hashlib.sha256(content).hexdigest())


def read_manifests(
    paths: Sequence[Path],
    *,
    folder: Path | None = None,
    label_map: Mapping[str, str] | None = None,
) -> list[Manifest]:
    """Several manifests of one command, as `read_manifest` reads each.

    Raises:
        ManifestError: likewise; of two or more it names the one whose line is meant, by its folder
            too, as many are called manifest.csv.
    """
    found = []
    for path in paths:
        try:
            found.append(read_manifest(path, folder=folder, label_map=label_map))
        except ManifestError as error:
            if len(paths) == 1:
                raise
            raise ManifestError(f"{path.parent.name}/{path.name}: {error}") from error
    return found


def write_manifest(manifest: Manifest, path: Path, *, folder: Path | None = None) -> Manifest:
    """Write a manifest with its paths relative to another folder, and return it as written.

    Args:
        manifest: what to write.
        path: the CSV file, replaced in one step.
        folder: what the paths shall be relative to, and what `read_manifest` will need to be told
            then; the folder of the CSV when None.

    Raises:
        ManifestError: if a file does not lie in or below that folder.
    """
    folder = folder or path.parent
    rows = enumerate(moved_rows(manifest, folder), start=2)
    moved = manifest.with_rows(replace(row, line=line) for line, row in rows)
    write_whole(path, to_csv(moved.rows))
    return replace(moved, folder=folder)


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"The manifest {path} cannot be read ({error.strerror}): name a CSV file."
        ) from error


def _rows_of(content: bytes, folder: Path, label_map: Mapping[str, str]) -> Iterable[ManifestRow]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"Line {line} of the manifest is not UTF-8 text: save it as CSV in UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator_of(text), strict=True)
    line = 1
    header: list[str] | None = None
    try:
        for cells in reader:
            if header is None:
                header = _checked_header(cells)
            elif any(cell.strip() for cell in cells):
                yield _row_of(line, header, cells, folder, label_map)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(f"Line {line} of the manifest is not CSV ({error}).") from error


def _separator_of(text: str) -> str:
    """A comma or a semicolon: what sets more of the columns apart that every manifest has, as
    the name of a further column may hold any number of the other."""
    first = text.partition("\n")[0]
    return max(",;", key=lambda one: len({n.strip(' "\r') for n in first.split(one)} & {*REQUIRED}))


def _checked_header(cells: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ManifestError(
            f"The manifest has no column {' and no column '.join(missing)}: its first line must "
            f"name {', '.join(REQUIRED)}, with commas between them."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ManifestError(f"Line 1: the column {twice[0]!r} stands there twice; keep one.")
    return header


def _row_of(
    line: int, header: list[str], cells: list[str], folder: Path, label_map: Mapping[str, str]
) -> ManifestRow:
    if len(cells) != len(header):
        raise ManifestError(
            f"Line {line}: {counted(len(cells), 'value')} for {counted(len(header), 'column')}; "
            "put a value with a comma or a semicolon in double quotes."
        )
    values = dict(zip(header, map(_as_text, cells), strict=True))
    for name in REQUIRED:
        if not values[name]:
            raise ManifestError(f"Line {line}: the {name} is blank; every line needs one.")
    label = spelled(values["label"])
    return ManifestRow(
        line=line,
        path=_checked_path(line, "path", values["path"], folder),
        patient_id=spelled(values["patient_id"]),
        label=label_map.get(label, label),
        site=spelled(values.get("site", "")),
        study_id=values.get("study_id", ""),
        split=_checked_split(line, values.get("split", "")),
        lung_masked=_checked_truth(line, "lung_masked", values.get("lung_masked", "")),
        window_level=_checked_number(line, "window_level", values.get("window_level", "")),
        window_width=_checked_number(line, "window_width", values.get("window_width", "")),
        lung_mask=_checked_path(line, "lung_mask", values.get("lung_mask", ""), folder),
        lesion_mask=_checked_path(line, "lesion_mask", values.get("lesion_mask", ""), folder),
        extra={name: value for name, value in values.items() if name not in (*REQUIRED, *OPTIONAL)},
    )


def _as_text(cell: str) -> str:
    """A cell without blanks around it; line ends in it are such as can be written again."""
    return cell.strip().replace("\r\n", "\n").replace("\r", "\n")


def _checked_path(line: int, column: str, value: str, folder: Path) -> str:
    if not value:
        return ""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ManifestError(
            f"Line {line}: the {column} {value!r} leaves the folder of the manifest; "
            "write it relative to the manifest and without '..'."
        )
    if "\0" in value or not (folder / path).exists():
        slashes = "write it with slashes (/); " if "\\" in value else ""
        raise ManifestError(
            f"Line {line}: the {column} {value!r} does not exist; {slashes}"
            "paths are relative to the folder of the manifest, or to that named with --data."
        )
    return str(path)


def _checked_split(line: int, value: str) -> str:
    # Another word ("Test", "val") would be trained on, or left out, without a remark.
    if value not in ("", TRAIN, VALIDATION, TEST):
        raise ManifestError(
            f"Line {line}: split is {value!r}; write {TRAIN}, {VALIDATION}, {TEST} or nothing."
        )
    return value


def _checked_truth(line: int, column: str, value: str) -> bool:
    if value not in ("", "0", "1"):
        raise ManifestError(f"Line {line}: {column} is {value!r}; write 1, 0 or nothing.")
    return value == "1"


def _checked_number(line: int, column: str, value: str) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise ManifestError(f"Line {line}: {column} is {value!r}; write a number in HU or nothing.")
    return number
