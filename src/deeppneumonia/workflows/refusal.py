"""What the refusal of a study is about, so that an archive can file it with that study."""

from pathlib import Path

from deeppneumonia.domain import SourceKind
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.readers import read_study


def longest_ct_series(path: Path) -> tuple[Path, ...]:
    """The files of a DICOM study's longest CT series; none when its headers cannot be read."""
    try:
        study = read_study(path)
    except InputRefusedError:
        return ()
    if study.kind is not SourceKind.DICOM:
        return ()
    series = max(
        (one for one in study.series if one.modality == "CT"),
        key=lambda one: len(one.files),
        default=None,
    )
    # The files of an archive are gone by now.
    return () if series is None else tuple(file for file in series.files if file.is_file())
