"""How every record is kept: one JSON object in a file of its own, read with suspicion."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from core.errors import RecipeError
from core.files import NotPlainError, read_small, write_file

LARGEST: Final = 64 << 20
"""Bytes of a record that is read."""

LONGEST: Final = 4096
"""Characters of a text in one."""

WHEN: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


T = TypeVar("T")


class BadRecordError(ValueError):
    """What was read is no record that this program writes."""


def version_at_the_top(table: dict[str, Any]) -> object:
    """Return the version that a record says it has."""
    return table.get("version")


def read_record(
    path: Path,
    version: int,
    read: Callable[[dict[str, Any]], T],
    *,
    version_of: Callable[[dict[str, Any]], object] = version_at_the_top,
) -> T | None:
    """Return what ``read`` makes of the record; None when there is none. It may raise what reading bad JSON raises.

    Raises RecipeError when it is damaged, or of a version that this program does not know.
    """
    try:
        table = json.loads(read_small(path, LARGEST))
        if not isinstance(table, dict) or version_of(table) != version:
            msg = f"it is not of version {version}"
            raise BadRecordError(msg)
        return read(table)
    except FileNotFoundError:
        return None
    except (NotPlainError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        msg = f"{path} cannot be read: {said:.200}"
        raise RecipeError(
            msg,
            why="it is damaged, or another version of this program wrote it",
            next="inv clean, then build again",
        ) from error


def write_record(path: Path, table: dict[str, Any], *, indent: int | None = 1) -> None:
    """Write a record whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(table, indent=indent) + "\n").encode())


def text(value: object, what: str) -> str:
    """Return a text of a record. Raises BadRecordError."""
    if not isinstance(value, str) or len(value) > LONGEST:
        msg = f"'{what}' is no text: {value!r:.50}"
        raise BadRecordError(msg)
    return value


def flag(value: object, what: str) -> bool:
    """Return a truth value of a record. Raises BadRecordError."""
    if not isinstance(value, bool):
        msg = f"'{what}' is neither true nor false: {value!r:.50}"
        raise BadRecordError(msg)
    return value


def count(value: object, what: str) -> int:
    """Return a number of bytes, or of things. Raises BadRecordError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        msg = f"'{what}' is no count: {value!r:.50}"
        raise BadRecordError(msg)
    return value


def number(value: object, what: str) -> float | None:
    """Return a finite number, or None for null. Raises BadRecordError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        msg = f"'{what}' is no number: {value!r:.50}"
        raise BadRecordError(msg)
    return value


def moment(value: object, what: str) -> str:
    """Return a time in UTC, as ``2026-11-28T12:00:00Z``. Raises BadRecordError."""
    if not isinstance(value, str) or not WHEN.fullmatch(value):
        msg = f"'{what}' is no time in UTC: {value!r:.50}"
        raise BadRecordError(msg)
    return value


def rows(value: object, what: str) -> list[dict[str, Any]]:
    """Return a list of objects. Raises BadRecordError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        msg = f"'{what}' is no list of objects: {value!r:.50}"
        raise BadRecordError(msg)
    return value
