"""What is known about a study and its series before any pixel is read."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class SourceKind(StrEnum):
    """The form in which a study came in."""

    DICOM = "dicom"
    NIFTI = "nifti"
    META_IMAGE = "mha"
    NRRD = "nrrd"
    PICTURES = "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of a study, as its headers describe it."""

    uid: str
    """Series Instance UID; for other formats a hash of the content, never a name."""

    modality: str
    """`CT`, `MR`, ...; `OT` where the format does not say."""

    files: tuple[Path, ...]
    """The files of the series, ordered from feet to head once geometry was checked."""

    description: str = ""
    """Series description, without anything that identifies a person."""

    chosen_because: str = ""
    """Why this series and not another; empty until one is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that was found at one path: one patient, one exam."""

    uid: str
    """Study Instance UID; for other formats a hash of the content, never a name."""

    kind: SourceKind
    """How it came in."""

    series: tuple[Series, ...]
    """All series found, the unusable ones included."""

    ignored: tuple[str, ...] = ()
    """What lay beside the images and was left alone, in words without file names."""
