"""Reads the map that lld writes with ``-Map``: which piece of which object lies where in a program.

One line for each thing, its address, load address, size and alignment in front. An output section's name follows at
once, a piece of an object after 8 more blanks, a symbol after 16:
https://github.com/llvm/llvm-project/blob/main/lld/ELF/MapFile.cpp
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LARGEST: Final = 64 << 20
"""Bytes of a map that are read; one of a program with 4 MB has 3 million."""

LINKER: Final = "<internal>"
"""Whom a map names for pieces that the linker made: tables, merged strings."""

_HEAD = re.compile(r" +VMA +LMA +Size +Align +Out +In +Symbol")
_LINE = re.compile(
    r" *([0-9a-f]{1,16}) +[0-9a-f]{1,16} +([0-9a-f]{1,16}) +(\d{1,19}) ( {8}| {16}|)(\S.*)"
)


class LinkMapError(ValueError):
    """It is no whole map of this program: damaged, cut off, of another one, or made to mislead."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A symbol. Address and size in bytes."""

    name: str
    address: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one object has in an output section. Address, size and alignment in bytes."""

    object: str
    """Its path, with its archive's around it: ``lib/libc.a(xattr.o)``; LINKER; empty for a script's command."""
    section: str
    """Its section there: ``.text.getxattr``."""
    address: int
    size: int
    align: int
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Part:
    """An output section. Address and size in bytes."""

    name: str
    address: int
    size: int
    pieces: list[Piece] = field(default_factory=list)


def read_link_map(data: bytes) -> tuple[Part, ...]:
    """Return the output sections in the map's order. Raises LinkMapError, with the line, for anything else."""
    if len(data) > LARGEST:
        msg = f"it has {len(data):,} bytes, more than {LARGEST:,}"
        raise LinkMapError(msg)
    if not data.endswith(b"\n"):
        msg = "it is cut off: its last line has no end"
        raise LinkMapError(msg)
    head, *lines = data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n")
    if not _HEAD.fullmatch(head):
        msg = "it does not begin as a map of lld does"
        raise LinkMapError(msg)
    return tuple(_parts(lines))


def _parts(lines: list[str]) -> Iterator[Part]:
    part: Part | None = None
    for number, line in enumerate(lines, 2):
        if not (found := _LINE.fullmatch(line)):
            msg = f"line {number} is none of a map: {line!r:.80}"
            raise LinkMapError(msg)
        address, size, align = int(found[1], 16), int(found[2], 16), int(found[3])
        indent, name = len(found[4]), found[5]
        if not indent:
            if part:
                yield part
            part = Part(name=name, address=address, size=size)
        elif part is None or (indent == 16 and not part.pieces):
            msg = f"line {number} belongs to nothing: {line.strip()!r:.80}"
            raise LinkMapError(msg)
        elif indent == 16:
            part.pieces[-1].marks.append(Mark(name=name, address=address, size=size))
        else:
            where, colon, section = name.rpartition(":(")
            part.pieces.append(
                Piece(
                    object=where if colon else "",
                    section=section.removesuffix(")") if colon else name,
                    address=address,
                    size=size,
                    align=align,
                )
            )
    if part:
        yield part
