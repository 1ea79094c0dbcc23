"""What DICOM files that have come in say that they are, found out where they can do no harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deeppneumonia.readers import deidentify, read_tags
from deeppneumonia.readers.clean_copy import CT_CLASSES

__all__ = ["CT_CLASSES", "InstanceIds", "deidentify", "instance_ids"]

IDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
SYNTAX = "TransferSyntaxUID"


@dataclass(frozen=True, slots=True)
class InstanceIds:
    """The ids of one DICOM instance, as its header gives them."""

    sop_class: str
    sop_instance: str
    study: str
    transfer_syntax: str


def instance_ids(files: Sequence[Path]) -> list[InstanceIds | None]:
    """For each file its ids; None where there is no DICOM header with all of them."""
    found = read_tags(files, [*IDS, SYNTAX])
    return [
        InstanceIds(*tags.values()) if tags and all(tags[name] for name in IDS) else None
        for tags in found
    ]
