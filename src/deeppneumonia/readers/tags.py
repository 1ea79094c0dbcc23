"""Single elements of a DICOM header as text, for those who need no picture."""

from collections.abc import Sequence
from pathlib import Path

import pydicom

from deeppneumonia.domain.study import SourceKind
from deeppneumonia.readers.elements import text_of
from deeppneumonia.readers.gate import NoStudyError
from deeppneumonia.readers.headers import unreadable
from deeppneumonia.readers.study import kind_of


def tags_of(file: Path, keywords: Sequence[str]) -> dict[str, str]:
    """The elements of these keywords, those of the file meta information too; blank where missing.

    Raises:
        StudyError: no DICOM file, or one whose header cannot be read.
    """
    if kind_of(file) is not SourceKind.DICOM:
        raise NoStudyError("The file is no DICOM file, where one is expected: give a DICOM file.")
    try:
        dataset = pydicom.dcmread(
            file, stop_before_pixels=True, specific_tags=list(keywords), force=True
        )
        meta = getattr(dataset, "file_meta", pydicom.Dataset())
        return {name: text_of(meta if name in meta else dataset, name) for name in keywords}
    except (MemoryError, RecursionError):  # limits are named by the reading process
        raise
    # pydicom lets errors of every kind through for damaged files; each means the same to us.
    except Exception as error:
        raise unreadable() from error
