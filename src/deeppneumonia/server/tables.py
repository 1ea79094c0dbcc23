"""Settings from a TOML file: a table becomes an object, every name and every type is checked."""

import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from deeppneumonia.errors import ConfigError

T = TypeVar("T")
TABLES = ("server", "dicom_node")
"""All that a file of settings may hold: a name that is written wrong must not pass for absent."""

PLAIN: Mapping[Any, str] = {
    str: "a text in quotes",
    bool: "true or false",
    int: "a whole number without quotes",
    float: "a number without quotes",
    tuple[str, ...]: "a list of texts in brackets",
    dict[str, str]: "a table of texts",
}
"""Kinds that a value in a file either has or has not, in words; the others are made of tables."""

LAST_PORT = 65_535


def read_table(file: Path, name: str) -> dict[str, Any]:
    """One table of a TOML file; empty when it has none of that name.

    Raises:
        ConfigError: the file cannot be read as TOML, or holds what no program of ours asks for.
    """
    try:
        found = tomllib.loads(file.read_text("utf-8-sig"))  # Windows' editors begin with a mark
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} cannot be read as TOML: its byte {error.start + 1} is no UTF-8, in which TOML "
            "is written; save it as UTF-8."
        ) from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}.") from error
    for other in found:
        if other not in TABLES:
            raise ConfigError(
                f"{file} holds {other!r}, which is read by nobody: settings stand below a line "
                f"{' or '.join(f'[{one}]' for one in TABLES)}."
            )
    return dict(_table(found.get(name, {}), name))


def made(kind: type[T], table: object, where: str) -> T:
    """A settings object from its table.

    Args:
        kind: a dataclass; its fields are the names that may stand in the table.
        where: what the table is called, for messages.

    Raises:
        ConfigError: no table, an unknown name, a value of another type, or one missing.
    """
    table = _table(table, where)
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    values = dict(table)
    for name, value in table.items():
        if name not in known:
            raise ConfigError(
                f"{where} has no setting called {name!r}; known are {', '.join(known)}."
            )
        if known[name].type in PLAIN and not fits(value, known[name].type):
            expected = PLAIN[known[name].type]
            raise ConfigError(f"{where}: {name} is {value!r}, where {expected} is expected.")
        if known[name].type == tuple[str, ...]:
            values[name] = tuple(value)
    missing = [n for n, one in known.items() if _is_needed(one) and n not in table]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}: add it to the file.")
    return kind(**values)


def tables(value: object, name: str) -> Sequence[Any]:
    """The tables of an array of them; ConfigError when it is something else."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(f"{name} is written as [[{name}]], one table for each.")
    return value


def fits(value: object, kind: object) -> bool:
    """Whether a setting of this kind may have this value; True is no number."""
    if kind == tuple[str, ...]:
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if kind == dict[str, str]:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def check_numbers(settings: Any, *, may_be_zero: Collection[str]) -> None:
    """ConfigError unless each number is finite and above 0, or 0 where that is said."""
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.type not in (int, float) or 0 < value < math.inf:
            continue
        if value == 0 and one.name in may_be_zero:
            continue
        least = "0 or more" if one.name in may_be_zero else "more than 0"
        raise ConfigError(f"{one.name} is {value}, where {least} is expected.")
    if settings.port > LAST_PORT:
        raise ConfigError(f"port is {settings.port}, where {LAST_PORT} or less is expected.")


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is no table: write a line [{where}], its settings below it.")
    return value


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
