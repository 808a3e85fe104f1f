"""What a file does against being exploited, as far as the file itself shows it.

Checked as checksec and ``annocheck`` do, from what the kernel or a loader reads; a stripped static file shows the stack
protector only in its code, see `verify.stack_guard`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from verify.dynamic import Dynamic
from verify.elf_file import ElfFile, Segment
from verify.notes import code_marks, read_notes
from verify.sections import Section

_WINDOW: Final = 1024 * 1024
_LONGEST: Final = 64
MAX_NAMES: Final = 64 * 1024 * 1024
"""Bytes of symbol names that are looked through."""
_GUARD: Final = re.compile(rb"\0__stack_chk_(?:fail(?:_local)?|guard)(?=[\0@])")
_FORTIFIED: Final = re.compile(rb"\0__(?!stack_)[a-z_0-9]{1,40}_chk(?=[\0@])")


class Position(StrEnum):
    """Whether a program's code is loaded where nobody can foretell it."""

    FIXED = "fixed"
    PIE = "pie"
    STATIC_PIE = "static-pie"
    LIBRARY = "library"
    NONE = "none"
    """An object file, a core dump."""


class Relro(StrEnum):
    """Whether pointers are locked once they are relocated."""

    NONE = "none"
    PARTIAL = "partial"
    """PT_GNU_RELRO without BIND_NOW: what is bound later stays writable."""
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What protects a program. None means that the file does not show it."""

    position: Position
    relro: Relro
    bind_now: bool
    text_relocations: bool
    """Code is written to as the program starts, so it cannot be shared or locked."""
    stack_protector: bool | None
    """By ``__stack_chk_fail`` among the names of symbols, or by reads of the guard in the code."""
    fortify: bool | None
    """By names of glibc's checking functions, as in ``__memcpy_chk``."""
    code_marks: tuple[str, ...]
    """What all of the code is marked as fit for: ``IBT``, ``SHSTK`` (Intel's CET), ``BTI``, ``PAC``, ``GCS`` (ARM)."""


def read_protection(
    elf: ElfFile,
    segments: Sequence[Segment],
    dynamic: Dynamic,
    sections: Sequence[Section],
    *,
    position: Position,
    guard_reads: int | None,
) -> Protection:
    """Read what protects a file; raises nothing of its own."""
    relro = any(segment.type == "PT_GNU_RELRO" for segment in segments)
    names = _names(elf, segments, dynamic, sections)
    guarded = _holds(elf, names, _GUARD)
    if guard_reads:
        guarded = True
    elif guard_reads == 0 and guarded is None:
        guarded = False
    elif guard_reads is None and not guarded:
        # What a program takes from libraries tells of them, not of its own functions.
        guarded = guarded if _all_symbols(sections) else None
    # A stripped static file has no names of its own functions, so that none there means nothing.
    fortified = _holds(elf, names, _FORTIFIED)
    return Protection(
        position=position,
        relro=Relro.NONE if not relro else Relro.FULL if dynamic.bind_now else Relro.PARTIAL,
        bind_now=dynamic.bind_now,
        text_relocations=dynamic.text_relocations,
        stack_protector=guarded,
        fortify=fortified if fortified or dynamic.needed or _all_symbols(sections) else None,
        code_marks=code_marks(elf, read_notes(elf, segments)),
    )


def find_position(elf_type: str, *, interpreter: bool, static_pie: bool) -> Position:
    """Return what a file is by where it can be loaded."""
    match elf_type:
        case "ET_EXEC":
            return Position.FIXED
        case "ET_DYN" if static_pie:
            return Position.STATIC_PIE
        case "ET_DYN":
            return Position.PIE if interpreter else Position.LIBRARY
        case _:
            return Position.NONE


def _all_symbols(sections: Iterable[Section]) -> bool:
    return any(section.type == "SHT_SYMTAB" for section in sections)


def _names(
    elf: ElfFile, segments: Sequence[Segment], dynamic: Dynamic, sections: Sequence[Section]
) -> list[tuple[int, int]]:
    """Return where the names of symbols stand, as offset and size: of the loader's, and of all if they are left."""
    found = []
    if dynamic.strings:
        address, size = dynamic.strings
        for segment in segments:
            inside = address - segment.vaddr
            if segment.type == "PT_LOAD" and 0 <= inside < segment.file_size:
                found.append((segment.offset + inside, min(size, segment.file_size - inside)))
                break
    if _all_symbols(sections):
        found += [(s.offset, s.size) for s in sections if s.name == ".strtab"]
    return found


def _holds(
    elf: ElfFile, places: Iterable[tuple[int, int]], pattern: re.Pattern[bytes]
) -> bool | None:
    """Whether a name matches; None when there are no names."""
    looked, left = None, MAX_NAMES
    for offset, size in places:
        for start in range(offset, min(offset + size, elf.size), _WINDOW):
            if left <= 0:
                return None
            looked = False
            data = elf.at(start, min(_WINDOW + _LONGEST, offset + size - start))
            left -= _WINDOW
            if pattern.search(data):
                return True
    return looked
