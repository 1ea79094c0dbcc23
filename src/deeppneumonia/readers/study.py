"""One path in, one study or volume out: finds the kind of input and calls its reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deeppneumonia.domain.study import SourceKind, Study
from deeppneumonia.domain.volume import Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.dicom import dicom_study, dicom_volume
from deeppneumonia.readers.gate import Admitted, Lease, NoStudyError, admit, cannot_open
from deeppneumonia.readers.images import picture_study, picture_volume
from deeppneumonia.readers.text_headers import HEADER_SUFFIXES
from deeppneumonia.readers.volumes import volume_file_study, volume_file_volume

ACCEPTED = "a DICOM folder, file or zip, NIfTI, MHA or NRRD, or a folder of PNG or JPEG slices"
BARE_ELEMENTS = {0x00, 0x01, 0x05, 0x08, 0x16, 0x18}
"""Elements of group 8 with which a file without preamble may begin: length, charset, UIDs."""

OTHER_PICTURES = (b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
"""How GIF, BMP, TIFF and WebP begin."""

VOLUME_SUFFIXES = {
    ".nii": SourceKind.NIFTI,
    ".nii.gz": SourceKind.NIFTI,
    **HEADER_SUFFIXES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Input of one kind, and what lay beside it."""

    kind: SourceKind
    files: tuple[Path, ...]
    ignored: tuple[str, ...]
    lease: Lease | None


def read_study(path: Path, *, unpacked: Path | None = None) -> Study:
    """What is at `path`, from headers alone: one patient, one exam, all of its series.

    The files of a study that came as a zip archive are gone when this returns, unless `unpacked`
    names an empty folder for them; `read_volume` keeps them for as long as its volume lives.

    Raises:
        StudyError: nothing that can be read, several patients or studies, or unsafe input.
    """
    found = _find(Path(path), unpacked)
    if found.kind is SourceKind.DICOM:
        return dicom_study(found.files, found.ignored)
    if found.kind is SourceKind.PICTURES:
        return picture_study(found.files, found.ignored)
    return volume_file_study(found.files[0], found.kind, found.ignored)


def read_volume(path: Path, series: str | None = None, *, unpacked: Path | None = None) -> Volume:
    """One series at `path` as axial slices in standard display, from feet to head.

    Rows run from front to back and columns from the patient's right to the left, whatever the
    patient's position on the table. DICOM and pictures are decoded when a slice is asked for.

    Args:
        path: a DICOM folder, file or zip; NIfTI, MHA or NRRD; a folder of PNG or JPEG slices.
        series: Series Instance UID to read; None to have one chosen (`Series.chosen_because`).
        unpacked: an empty folder for the files of a zip, which the caller keeps and deletes; None
            for one that goes with the volume.

    Raises:
        StudyError: the input cannot be read right; the message says why and what to do.
    """
    found = _find(Path(path), unpacked)
    if found.kind is SourceKind.DICOM:
        return dicom_volume(found.files, series, found.ignored, found.lease)
    if series is not None:
        raise StudyError(
            "A series was named, but the input is not DICOM and has no series: leave the name out."
        )
    if found.kind is SourceKind.PICTURES:
        return picture_volume(found.files, found.ignored, found.lease)
    return volume_file_volume(found.files[0], found.kind, found.ignored, found.lease)


def _find(path: Path, unpacked: Path | None) -> Found:
    """Sort the admitted files by kind; the rule is fixed, so that no reader is tried in vain."""
    try:
        admitted = admit(path, unpacked=unpacked)
        kinds: dict[SourceKind | None, list[Path]] = {}
        for file in admitted.files:
            kinds.setdefault(kind_of(file), []).append(file)
    except OSError as error:
        raise cannot_open(error) from error
    volumes = [k for k in (SourceKind.NIFTI, SourceKind.META_IMAGE, SourceKind.NRRD) if k in kinds]
    kind = _one_kind(SourceKind.DICOM in kinds, volumes, SourceKind.PICTURES in kinds, admitted)
    files = kinds[kind]
    if kind in volumes and len(files) > 1:
        raise StudyError(
            f"The input holds {len(files)} volumes, where one is expected: name the one to read."
        )
    if kind is SourceKind.PICTURES:
        _check_no_other_pictures(kinds.get(None, ()))
    beside = [(k, other) for k, other in kinds.items() if k is not kind]
    return Found(
        kind=kind,
        files=tuple(files),
        ignored=_ignored(beside, admitted.links),
        lease=admitted.lease,
    )


def _check_no_other_pictures(others: Sequence[Path]) -> None:
    """Refuse slices in formats that are not read: nobody would notice that they are missing."""
    count = 0
    for file in others:
        with file.open("rb") as stream:
            count += stream.read(4).startswith(OTHER_PICTURES)
    if count:
        raise StudyError(
            f"Beside PNG or JPEG slices lie {count} pictures in other formats (GIF, BMP, TIFF or "
            "WebP), which would be missing: give all slices as PNG."
        )


def _one_kind(
    dicom: bool, volumes: Sequence[SourceKind], pictures: bool, admitted: Admitted
) -> SourceKind:
    """DICOM or one volume before pictures, which often lie beside them as previews."""
    if dicom + len(volumes) > 1:
        names = [k.value for k in ([SourceKind.DICOM] if dicom else []) + list(volumes)]
        raise StudyError(
            f"The input holds a study in {len(names)} forms ({', '.join(names)}), where one is "
            "expected: give one of them."
        )
    if dicom:
        return SourceKind.DICOM
    if volumes:
        return volumes[0]
    if pictures:
        return SourceKind.PICTURES
    links = f" and {admitted.links} symbolic links, which are not followed" * bool(admitted.links)
    files = "1 file" if len(admitted.files) == 1 else f"{len(admitted.files)} files"
    raise NoStudyError(f"No CT study was found in {files}{links}: expected {ACCEPTED}.")


def kind_of(file: Path) -> SourceKind | None:
    """By content for DICOM and pictures, by name for volumes; None for anything else."""
    name = file.name.lower()
    for suffix, kind in VOLUME_SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    with file.open("rb") as stream:
        start = stream.read(132)
    if start[128:132] == b"DICM" or _is_bare_dicom(start):
        return SourceKind.DICOM
    if start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return SourceKind.PICTURES
    return None


def _is_bare_dicom(start: bytes) -> bool:
    """Old files leave out the preamble and begin with group 2 or 8 (PS3.10 7.1 asks for it)."""
    if len(start) < 132 or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0:
        return False
    is_explicit = start[4:6].isalpha() and start[4:6].isupper()
    return is_explicit or (start[2] in BARE_ELEMENTS and start[6:8] == b"\x00\x00")


def _ignored(beside: Sequence[tuple[SourceKind | None, list[Path]]], links: int) -> tuple[str, ...]:
    words = {SourceKind.PICTURES: "pictures", None: "other files"}
    notes = [f"{words.get(kind, kind)}: {len(files)}" for kind, files in beside]
    return tuple(notes + [f"symbolic links, not followed: {links}"] * bool(links))
