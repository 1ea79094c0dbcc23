"""The CSV that says which picture or study belongs to which patient, and what was found there.

One line is one slice (a picture or a DICOM file) or one study (a folder, a zip, a volume file).
Required columns are `path` (relative to the CSV), `patient_id` and `label`; `site`, `study_id`,
`split`, `lung_masked`, `window_level`, `window_width`, `lung_mask`, `lesion_mask` are understood;
all others are carried along. `patient_id` alone says who a patient is, throughout one manifest.

Messages name lines, never patients.
"""

import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from deeppneumonia.domain.labels import spelled
from deeppneumonia.errors import ManifestError

REQUIRED = ("path", "patient_id", "label")
OPTIONAL = (
    "site",
    "study_id",
    "split",
    "lung_masked",
    "window_level",
    "window_width",
    "lung_mask",
    "lesion_mask",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One line of a manifest."""

    line: int
    """Line of the CSV on which the row begins; the header is line 1."""

    path: str
    """Picture, DICOM file, volume file, zip or folder, relative to the manifest, with slashes."""

    patient_id: str
    """Who it is; rows of one patient stay together in every split."""

    label: str
    site: str = ""
    study_id: str = ""
    split: str = ""
    """`train`, `validation`, `test`, or blank where no split was made."""

    lung_masked: bool = False
    """True when the picture is already cut to the lung."""

    window_level: float | None = None
    """Centre of the window a picture was exported with, in HU; None when unknown."""

    window_width: float | None = None
    """Width of that window, in HU; None when unknown."""

    lung_mask: str = ""
    """Picture of the lung mask, relative to the manifest; blank when there is none."""

    lesion_mask: str = ""
    """Picture of the lesion mask, relative to the manifest; blank when there is none."""

    extra: Mapping[str, str] = field(default_factory=dict)
    """All further columns, as text."""


@dataclass(frozen=True)
class Manifest:
    """Rows that were checked against each other and against the disk."""

    rows: tuple[ManifestRow, ...]
    folder: Path
    """What the paths of the rows are relative to."""

    sha256: str
    """Of the CSV that holds these rows, byte for byte."""

    def file(self, row: ManifestRow) -> Path:
        """Where the row's picture or study lies."""
        return self.folder / row.path

    def rows_of(self, split: str) -> tuple[ManifestRow, ...]:
        """The rows of one split, in their order."""
        return tuple(row for row in self.rows if row.split == split)

    @cached_property
    def patients(self) -> Mapping[str, tuple[ManifestRow, ...]]:
        """The rows of each patient, patients in order of appearance."""
        found: dict[str, list[ManifestRow]] = defaultdict(list)
        for row in self.rows:
            found[row.patient_id].append(row)
        return {patient: tuple(rows) for patient, rows in found.items()}

    def with_rows(self, rows: Iterable[ManifestRow]) -> "Manifest":
        """The same folder with other rows; the hash is that of the CSV they would make."""
        kept = tuple(rows)
        return Manifest(kept, self.folder, hashlib.sha256(to_csv(kept)).hexdigest())


def check_contradictions(rows: Sequence[ManifestRow]) -> None:
    """Refuse rows that name one path twice, or one patient with two labels or in two splits."""
    _refuse_repeated_paths(rows)
    _refuse_two_values(rows, "label", lambda row: row.label)
    _refuse_two_values(rows, "split", lambda row: row.split)


def join_manifests(manifests: Sequence[Manifest]) -> Manifest:
    """One manifest of several, with paths relative to the folder that all of them share.

    Rows without a site get the name of their manifest's folder. A patient id that two manifests
    use for different sites stands for two people: it then becomes `site/patient_id`. Where they
    have a site in common it is one person, scanned at all of their sites. Lines are numbered anew,
    as `write_manifest` would write them; those of a single manifest stay.

    Raises:
        ManifestError: if rows of the manifests contradict each other, or none is given.
    """
    if not manifests:
        raise ManifestError("There is no manifest to join: name one at least.")
    sited = [_with_sites(manifest) for manifest in manifests]
    if len(sited) == 1:
        return sited[0]
    folder = Path(os.path.commonpath([manifest.folder.resolve() for manifest in sited]))
    people = _people(sited)
    moved = [
        replace(row, patient_id=_unique_id(row, people[row.patient_id]))
        for manifest in sited
        for row in moved_rows(manifest, folder)
    ]
    rows = tuple(replace(row, line=line) for line, row in enumerate(moved, start=2))
    check_contradictions(rows)
    return Manifest(rows, folder, hashlib.sha256(to_csv(rows)).hexdigest())


def moved_rows(manifest: Manifest, folder: Path) -> Iterable[ManifestRow]:
    """The rows with their paths relative to another folder.

    Raises:
        ManifestError: if a file does not lie in or below that folder.
    """
    old, new = manifest.folder.resolve(), folder.resolve()
    for row in manifest.rows:
        yield replace(
            row,
            path=_rebased(row.path, old, new),
            lung_mask=_rebased(row.lung_mask, old, new),
            lesion_mask=_rebased(row.lesion_mask, old, new),
        )


def to_csv(rows: Sequence[ManifestRow]) -> bytes:
    """The rows as UTF-8 CSV: all known columns, then the further ones."""
    further = list(dict.fromkeys(name for row in rows for name in row.extra))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*REQUIRED, *OPTIONAL, *further])
    for row in rows:
        known = [_cell(getattr(row, name)) for name in (*REQUIRED, *OPTIONAL)]
        writer.writerow([*known, *(row.extra.get(name, "") for name in further)])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)


def _rebased(path: str, old: Path, new: Path) -> str:
    if not path:
        return ""
    try:
        return (old / path).relative_to(new).as_posix()
    except ValueError as error:
        raise ManifestError(
            f"{path!r} does not lie below the folder that the paths shall be relative to; "
            "write the manifest beside the data or above them, or name the folder of the data."
        ) from error


def _with_sites(manifest: Manifest) -> Manifest:
    if all(row.site for row in manifest.rows):
        return manifest
    folder_name = spelled(manifest.folder.resolve().name)
    return manifest.with_rows(replace(row, site=row.site or folder_name) for row in manifest.rows)


def _people(manifests: Sequence[Manifest]) -> Mapping[str, list[set[str]]]:
    """The sites of each person who bears an id: what shares a manifest or a site is one person."""
    people: dict[str, list[set[str]]] = defaultdict(list)
    for manifest in manifests:
        for patient, rows in manifest.patients.items():
            sites = {row.site for row in rows}
            same = [one for one in people[patient] if one & sites]
            others = [one for one in people[patient] if not one & sites]
            people[patient] = [*others, sites.union(*same)]
    return people


def _unique_id(row: ManifestRow, people: Sequence[set[str]]) -> str:
    """The id, with the least site of the person before it where it is that of several."""
    if len(people) == 1:
        return row.patient_id
    (home,) = (min(sites) for sites in people if row.site in sites)
    return f"{home}/{row.patient_id}"


def _refuse_repeated_paths(rows: Sequence[ManifestRow]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if row.path in first:
            raise ManifestError(
                f"Lines {first[row.path]} and {row.line} name the same path; remove one of them."
            )
        first[row.path] = row.line


def _refuse_two_values(
    rows: Sequence[ManifestRow], column: str, value_of: Callable[[ManifestRow], str]
) -> None:
    first: dict[str, ManifestRow] = {}
    for row in rows:
        known = first.setdefault(row.patient_id, row)
        if value_of(known) != value_of(row):
            raise ManifestError(
                f"Lines {known.line} and {row.line} are one patient with the {column}s "
                f"{value_of(known)!r} and {value_of(row)!r}; a patient has one {column}. "
                "If these are two people, give them different patient ids."
            )
