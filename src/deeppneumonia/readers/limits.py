"""How large, how deep and how long a study may be, with the reason for each number.

`docs/reference/limits.md` tells the same to those who run the program.
"""

import os
from dataclasses import dataclass, fields, replace
from functools import cache

from deeppneumonia.domain.wording import counted
from deeppneumonia.errors import ConfigError, StudyError

MEGABYTE = 1024 * 1024
VARIABLE = "DEEPPNEUMONIA_LIMITS"
WAITING_S = 20.0
"""Longest time without an answer, beside five times the processor time."""


class UnsafeInputError(StudyError):
    """The input is larger than any study, or made to do harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a study may be; about ten times above what scanners make."""

    files: int = 20_000
    """A chest CT has 30 to 1,000 slices in one to ten series."""

    file_bytes: int = 4096 * MEGABYTE
    """A slice has 0.5 MB, a volume of 1,000 slices as float 1 GB."""

    total_bytes: int = 16384 * MEGABYTE
    """A whole exam with all its series has up to 2 GB."""

    depth: int = 16
    """Folders below the given one, in a folder or an archive; a CD has four."""

    unpacked_ratio: int = 200
    """Largest growth of what unpacks to more than `free_growth_bytes`; CT grows 2 to 12 times."""

    free_growth_bytes: int = 256 * MEGABYTE
    """What may come out of a packed file whatever its size: no harm in a machine of today."""

    slices: int = 5_000
    """A chest has up to 1,000."""

    picture_pixels: int = 4096 * 4096
    """CT has 512 x 512, some scanners 2048 x 2048."""

    voxels: int = 4 * 1024 * 1024 * 1024
    """1,024 slices of 2048 x 2048: the finest scanners make 1,500 of 1024 x 1024 of a chest."""

    memory_bytes: int = 512 * MEGABYTE
    """What a child process may take beyond what it starts with; a slice of 4096 x 4096 needs
    450 MB on its way to HU."""

    memory_ratio: int = 8
    """Further bytes for each byte of the largest file, since a volume file is read whole: packed
    four times, held twice."""

    seconds: float = 3.0
    """Of processor, for opening a study or decoding a slice; a usual slice takes 0.02."""

    files_per_second: float = 50.0
    """Further time for many files, at a tenth of the usual speed."""

    bytes_per_second: float = 10 * MEGABYTE
    """Further time for large files, at a tenth of the usual speed."""

    isolated: int = 1
    """0 reads in the calling process, without bounds on memory, time or network."""

    def cpu_s(self, files: int, total_bytes: int) -> float:
        """Processor time for reading so much, in s."""
        return self.seconds + files / self.files_per_second + total_bytes / self.bytes_per_second

    def wall_s(self, cpu_s: float) -> float:
        """Waiting time that goes with it: slow disks and a busy machine are no offence."""
        return WAITING_S + 5.0 * cpu_s


@cache
def limits_from(words: str) -> Limits:
    """The defaults, changed as `name=number name=number` says.

    Raises:
        ConfigError: an unknown name, or no number.

    >>> limits_from("memory_bytes=2e9 seconds=20").seconds
    20.0
    """
    kinds = {field.name: type(getattr(Limits(), field.name)) for field in fields(Limits)}
    changes: dict[str, float] = {}
    for word in words.replace(",", " ").split():
        name, _, number = word.partition("=")
        try:
            changes[name] = kinds[name](float(number))
        except (KeyError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"The limits (--limits or {VARIABLE}) say {word!r}, where name=number is expected: "
                f"the names are {', '.join(kinds)}."
            ) from error
    return replace(Limits(), **changes)  # type: ignore[arg-type]  # the kinds are the fields' own


def current_limits() -> Limits:
    """The limits of this process: the defaults, unless DEEPPNEUMONIA_LIMITS changes some."""
    return limits_from(os.environ.get(VARIABLE, ""))


def way_to_raise(name: str, number: str) -> str:
    """The end of a refusal that a limit made."""
    return (
        f"for an honest one raise {name}, as with `deeppneumonia --limits {name}={number} "
        "diagnose ...`."
    )


def check_voxels(slices: int, rows: int, columns: int) -> None:
    """UnsafeInputError when a header promises more pixels than any CT has; call before decoding."""
    limits = current_limits()
    if min(slices, rows, columns) < 1:
        raise StudyError(
            f"The header states {counted(slices, 'slice')} of {rows} x {columns} pixels: an empty "
            "picture cannot be read; export the study again."
        )
    if (
        slices > limits.slices
        or rows * columns > limits.picture_pixels
        or slices * rows * columns > limits.voxels
    ):
        raise UnsafeInputError(
            f"The header states {counted(slices, 'slice')} of {rows} x {columns} pixels, more than "
            f"a chest CT can have (at most {limits.slices} slices, "
            f"{limits.picture_pixels / 1e6:.0f} million pixels in one and "
            f"{limits.voxels / 1e6:.0f} million in all): check the file."
        )


def check_growth(packed_bytes: int, unpacked_bytes: int, limits: Limits | None = None) -> None:
    """UnsafeInputError for packed data that grow as no CT does; call before unpacking."""
    limits = limits or current_limits()
    if unpacked_bytes > max(limits.free_growth_bytes, limits.unpacked_ratio * packed_bytes):
        raise UnsafeInputError(
            f"The input would grow {unpacked_bytes / max(packed_bytes, 1):.0f} times when "
            f"unpacked, where CT grows at most {limits.unpacked_ratio} times: "
            "pack or convert the study again."
        )
