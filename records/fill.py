"""`artifacts/fill/<file name>.json`: what fills a program, and how many bytes of it are whose.

The numbers add up: the parts of an object to its size, the objects of a library to its, and the libraries, with what
nobody owns, to the size of the file.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from records.place import VERSION, fill_path
from records.store import BadRecordError, count, flag, read_record, rows, text, write_record


class PartKind(StrEnum):
    """What a part of a program is for."""

    CODE = "code"
    CONSTANTS = "constants"
    DATA = "data"
    """What a program may change, and begins with."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A function, a table, a variable. Sizes in bytes, here and below."""

    name: str
    size: int
    kind: PartKind
    guessed: bool
    """Only its place between two others of that object tells whose it is."""


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Parts that are too small to be named."""

    count: int
    size: int


@dataclass(frozen=True, kw_only=True)
class ObjectFile:
    """One object of a library, its largest parts first."""

    name: str
    size: int
    parts: tuple[Part, ...]
    more: Rest


@dataclass(frozen=True, kw_only=True)
class Library:
    """An archive, or the objects that are in none, its largest object first."""

    name: str
    recipe: str
    """The recipe whose step made it; empty: the program's own."""
    size: int
    objects: tuple[ObjectFile, ...]


@dataclass(frozen=True, kw_only=True)
class Unowned:
    """What is nobody's."""

    name: str
    size: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the probe: bytes of its module alone, which are counted above, too."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Fill:
    """All of a program's bytes, the largest library first."""

    file: str
    """Its name in `artifacts/files/`."""
    sha256: str
    size: int
    libraries: tuple[Library, ...]
    unowned: tuple[Unowned, ...]
    checks: tuple[Check, ...] = ()
    checks_note: str = ""

    def __post_init__(self) -> None:
        """Raise BadRecordError when the numbers do not add up."""
        for library in self.libraries:
            for object_ in library.objects:
                _adds_up(object_.name, object_.size, object_.parts, extra=object_.more.size)
            _adds_up(library.name, library.size, library.objects)
        _adds_up(self.file, self.size, (*self.libraries, *self.unowned))


def _adds_up(name: str, size: int, of: Iterable[Any], *, extra: int = 0) -> None:
    if (sum_ := sum(one.size for one in of) + extra) != size:
        msg = f"the parts of '{name:.80}' have {sum_:,} bytes together, and it has {size:,}"
        raise BadRecordError(msg)


def write_fill(artifacts: Path, fill: Fill) -> None:
    """Keep it. Raises OSError."""
    write_record(fill_path(artifacts, fill.file), {"version": VERSION, **asdict(fill)}, indent=None)


def read_fill(artifacts: Path, file_name: str, sha256: str) -> Fill | None:
    """Return what fills this very file; None when that is not recorded. Raises RecipeError for a damaged record."""
    found = read_record(fill_path(artifacts, file_name), VERSION, _fill)
    return found if found and (found.file, found.sha256) == (file_name, sha256) else None


def _fill(table: dict[str, Any]) -> Fill:
    return Fill(
        file=text(table["file"], "file"),
        sha256=text(table["sha256"], "sha256"),
        size=count(table["size"], "size"),
        libraries=tuple(
            Library(
                name=text(row["name"], "name"),
                recipe=text(row["recipe"], "recipe"),
                size=count(row["size"], "size"),
                objects=tuple(_object(one) for one in rows(row["objects"], "objects")),
            )
            for row in rows(table["libraries"], "libraries")
        ),
        unowned=tuple(
            Unowned(
                name=text(row["name"], "name"),
                size=count(row["size"], "size"),
                why=text(row["why"], "why"),
            )
            for row in rows(table["unowned"], "unowned")
        ),
        checks=tuple(
            Check(name=text(row["name"], "name"), size=count(row["size"], "size"))
            for row in rows(table["checks"], "checks")
        ),
        checks_note=text(table["checks_note"], "checks_note"),
    )


def _object(row: dict[str, Any]) -> ObjectFile:
    return ObjectFile(
        name=text(row["name"], "name"),
        size=count(row["size"], "size"),
        parts=tuple(
            Part(
                name=text(one["name"], "name"),
                size=count(one["size"], "size"),
                kind=PartKind(one["kind"]),
                guessed=flag(one["guessed"], "guessed"),
            )
            for one in rows(row["parts"], "parts")
        ),
        more=Rest(
            count=count(row["more"]["count"], "count"), size=count(row["more"]["size"], "size")
        ),
    )
