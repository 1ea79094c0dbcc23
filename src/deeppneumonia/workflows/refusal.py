"""What the refusal of a study is about, so that an archive can file it with that study."""

from pathlib import Path

from deeppneumonia.domain import SourceKind
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.readers import read_study


def refused_files(path: Path, series: str | None = None) -> tuple[Path, ...]:
    """The files of the CT series that was refused, so that the refusal can refer to them.

    Args:
        path: of the study.
        series: Series Instance UID that was asked for; the longest CT series when None.

    Returns:
        Nothing where there is no such series, or where headers cannot be read.
    """
    try:
        study = read_study(path)
    except InputRefusedError:
        return ()
    if study.kind is not SourceKind.DICOM:
        return ()
    found = max(
        (one for one in study.series if one.modality == "CT" and series in (None, one.uid)),
        key=lambda one: len(one.files),
        default=None,
    )
    # The files of an archive are gone by now.
    return () if found is None else tuple(file for file in found.files if file.is_file())
