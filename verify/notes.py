"""The notes of an ELF file: who built it, and what its code is marked as.

Layout: https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html#note_section and, for properties,
https://gitlab.com/x86-psABIs/x86-64-ABI and https://github.com/ARM-software/abi-aa/blob/main/sysvabi64/sysvabi64.rst
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from verify.elf_file import ElfFile, Segment

MAX_NOTES: Final = 1024
"""Notes that are looked at; programs have three."""
MAX_BYTES: Final = 256 * 1024
"""Bytes of notes that are looked at, all together."""
_GNU: Final = b"GNU\0"
_BUILD_ID: Final = 3
_PROPERTIES: Final = 5
_LONGEST_ID: Final = 64
_MARKS: Final[Mapping[int, tuple[str, ...]]] = {
    0xC0000002: ("IBT", "SHSTK"),  # GNU_PROPERTY_X86_FEATURE_1_AND
    0xC0000000: ("BTI", "PAC", "GCS"),  # GNU_PROPERTY_AARCH64_FEATURE_1_AND
}


@dataclass(frozen=True, kw_only=True)
class Note:
    """One note: ``name`` with its NUL, ``data`` without padding."""

    name: bytes
    kind: int
    data: bytes
    align: int


def read_notes(elf: ElfFile, segments: Iterable[Segment]) -> tuple[Note, ...]:
    """Return the notes that program headers lead to, up to MAX_NOTES; what is damaged ends a list of them."""
    found: list[Note] = []
    ranges: dict[tuple[int, int], int] = {}
    for segment in segments:
        if segment.type in {"PT_NOTE", "PT_GNU_PROPERTY"}:
            ranges.setdefault((segment.offset, segment.file_size), segment.align)
    left = MAX_BYTES
    for (offset, size), align in ranges.items():
        data = elf.at(offset, min(size, left))
        left -= len(data)
        for note in _notes(data, order=_order(elf), align=8 if align == 8 else 4):
            if len(found) == MAX_NOTES:
                return tuple(found)
            found.append(note)
    return tuple(found)


def build_id(notes: Iterable[Note]) -> str | None:
    """Return the build-id as hex digits, as ``readelf -n`` shows it."""
    for note in notes:
        if note.name == _GNU and note.kind == _BUILD_ID and len(note.data) <= _LONGEST_ID:
            return note.data.hex()
    return None


def code_marks(elf: ElfFile, notes: Iterable[Note]) -> tuple[str, ...]:
    """Return what all of the code is marked as fit for: IBT and SHSTK (Intel's CET), BTI, PAC and GCS (ARM)."""
    order = _order(elf)
    width = 8 if elf.layout.bits == 64 else 4
    marks: dict[str, None] = {}
    for note in notes:
        if note.name != _GNU or note.kind != _PROPERTIES:
            continue
        for kind, data in _properties(note.data, order=order, width=width):
            bits = int.from_bytes(data[:4], "little" if order == "<" else "big")
            names = _MARKS.get(kind, ())
            marks |= dict.fromkeys(name for bit, name in enumerate(names) if bits >> bit & 1)
    return tuple(marks)


def _notes(data: bytes, *, order: str, align: int) -> Iterator[Note]:
    position = 0
    while position + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(f"{order}III", data, position)
        name_at = position + 12
        at = name_at + name_size + (-(name_at + name_size) % align)
        if at + size > len(data):
            return
        yield Note(
            name=data[name_at : name_at + name_size],
            kind=kind,
            data=data[at : at + size],
            align=align,
        )
        position = at + size + (-(at + size) % align)


def _properties(data: bytes, *, order: str, width: int) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        yield kind, data[position + 8 : position + 8 + size]
        position += 8 + size + (-size % width)


def _order(elf: ElfFile) -> str:
    return "<" if elf.layout.little_endian else ">"
