"""What goes through the wall between a reading child and the program: facts as JSON, and pixels.

Nothing is pickled. What a child says is not trusted: it may have been taken over by the file it
reads. Every part is built anew from plain values of the right type, and no path is accepted that
does not lie in the study that was asked for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from deeppneumonia.domain.study import Series, SourceKind, Study
from deeppneumonia.domain.volume import PixelSource, QualityFlag, Unit, Volume
from deeppneumonia.errors import StudyError
from deeppneumonia.readers.limits import UnsafeInputError

PIXEL_TYPES = ("int16", "float32", "uint8")
OWN_ERRORS = "deeppneumonia.readers."

Said = Mapping[str, Any]
Part = TypeVar("Part")


class ChangedStudyError(StudyError):
    """The files are not those that were there when the reading began."""

    def __init__(
        self,
        message: str = "The study changed while it was being read, so its slices may not belong "
        "together: wait until it is complete, and read it again.",
    ) -> None:
        super().__init__(message)


class UnforeseenInputError(StudyError):
    """A file that brought our own code to a halt where no one thought of it."""


def pack(value: Said) -> bytes:
    """JSON; paths as text, bytes that are no UTF-8 in them included."""
    return json.dumps(value, default=str).encode()


def unpack(raw: bytes | bytearray) -> Said:
    """A JSON object, or UnsafeInputError."""
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _nonsense() from error
    if not isinstance(said, dict):
        raise _nonsense()
    return said


def volume_said(volume: Volume) -> Said:
    """Everything about a volume but its pixels."""
    return {
        "shape": volume.shape,
        "unit": volume.unit,
        "affine": volume.affine.tolist(),
        "has_geometry": volume.has_geometry,
        "flags": [asdict(flag) for flag in volume.flags],
        "series": volume.series and asdict(volume.series),
        "study": volume.study and asdict(volume.study),
    }


def study_heard(said: Said, roots: tuple[Path, ...]) -> Study:
    """A study whose files lie below one of the roots; UnsafeInputError for anything else."""
    return _checked(lambda: _study(said, roots))


def volume_heard(said: Said, pixels: PixelSource, roots: tuple[Path, ...]) -> Volume:
    """A volume over these pixels; UnsafeInputError for what makes no sense."""
    return _checked(
        lambda: Volume(
            pixels=pixels,
            unit=Unit(said["unit"]),
            affine=np.array(said["affine"], np.float64),
            has_geometry=bool(said["has_geometry"]),
            flags=tuple(map(_flag, said["flags"])),
            series=_series(said["series"], roots) if said["series"] else None,
            study=_study(said["study"], roots) if said["study"] else None,
        )
    )


def words_heard(said: Said, names: Sequence[str]) -> dict[str, str]:
    """A text for each of these names."""
    return _checked(lambda: {name: str(said[name]) for name in names})


def shape_heard(said: Said) -> tuple[int, int, int]:
    """(slices, rows, columns), none of them empty."""

    def shape() -> tuple[int, int, int]:
        slices, rows, columns = map(int, said["shape"])
        if min(slices, rows, columns) < 1:
            raise ValueError(said["shape"])
        return slices, rows, columns

    return _checked(shape)


def error_said(error: StudyError) -> Said:
    """A refusal by its name, its words and the numbers it carries."""
    facts = {k: v for k, v in vars(error).items() if isinstance(v, int | float | str)}
    return {"error": type(error).__name__, "message": str(error), "facts": facts}


def error_heard(said: Said) -> StudyError:
    """The refusal that a child met, as the class of this room that bears its name."""
    kinds = {kind.__name__: kind for kind in _kinds_below(StudyError)}
    kind = kinds.get(str(said.get("error")), StudyError)
    # Not through __init__, which makes its own words of its own arguments.
    error = kind.__new__(kind)
    Exception.__init__(error, str(said.get("message")))
    for name, value in dict(said.get("facts") or {}).items():
        if isinstance(value, int | float | str) and name.isidentifier() and name[0] != "_":
            setattr(error, name, value)
    return error


def unforeseen(error: Exception) -> UnforeseenInputError:
    """Where and by what our code was halted; without its words, in which a name may stand."""
    trace, at = error.__traceback__, "an unknown place"
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.startswith(OWN_ERRORS):
            at = f"{module.removeprefix(OWN_ERRORS)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return UnforeseenInputError(
        f"The study is damaged in a way that was not foreseen ({type(error).__name__} in {at}), "
        "and was not read: export it again, and report this line as a fault of DeepPneumonia."
    )


def _kinds_below(kind: type[StudyError]) -> list[type[StudyError]]:
    own = [each for each in kind.__subclasses__() if each.__module__.startswith(OWN_ERRORS)]
    return own + [below for each in own for below in _kinds_below(each)]


def _study(said: Said, roots: tuple[Path, ...]) -> Study:
    return Study(
        uid=str(said["uid"]),
        kind=SourceKind(said["kind"]),
        series=tuple(_series(each, roots) for each in said["series"]),
        ignored=tuple(str(each) for each in said["ignored"]),
    )


def _flag(said: Said) -> QualityFlag:
    """Two texts, and whatever else a flag says by yes or no."""
    more = {name: bool(value) for name, value in said.items() if name not in ("code", "message")}
    return QualityFlag(code=str(said["code"]), message=str(said["message"]), **more)


def _series(said: Said, roots: tuple[Path, ...]) -> Series:
    files = tuple(Path(str(file)) for file in said["files"])
    for file in files:
        if not any(_is_below(file, root) for root in roots):
            raise ValueError("a file outside the study")
    return Series(
        uid=str(said["uid"]),
        modality=str(said["modality"]),
        files=files,
        description=str(said["description"]),
        chosen_because=str(said["chosen_because"]),
    )


def _is_below(file: Path, root: Path) -> bool:
    """By name, as the child may have made it up; the root itself may be named with dots."""
    return file.is_relative_to(root) and ".." not in file.relative_to(root).parts


def _checked(build: Callable[[], Part]) -> Part:
    try:
        return build()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _nonsense() from error


def _nonsense() -> UnsafeInputError:
    return UnsafeInputError(
        "The process that read the study gave an answer that makes no sense, as if a file of the "
        "study had taken it over: do not open this study with other programs."
    )
