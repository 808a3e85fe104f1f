"""The dynamic segment: what a loader would be asked to do.

Layout: https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from verify.elf_file import ElfFile, Segment
from verify.printable import printable

MAX_ENTRIES: Final = 4096
_MAX_STRING: Final = 4096
_DF_TEXTREL: Final = 4
_DF_BIND_NOW: Final = 8
_DF_1_NOW: Final = 1
_DF_1_PIE: Final = 0x0800_0000


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """Entries of the dynamic segment; ``problem`` says why the list may be incomplete."""

    present: bool
    problem: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    pie_flag: bool
    bind_now: bool
    text_relocations: bool
    strings: tuple[int, int] | None
    """Address and size of the names of the loader's symbols."""
    tags: Mapping[str, int]
    """The first value of each tag."""


def read_dynamic(elf: ElfFile, segments: tuple[Segment, ...]) -> Dynamic:
    """Read every PT_DYNAMIC, found by program header only; raises MalformedElfError."""
    entries: list[tuple[str, int]] = []
    problems: list[str] = []
    tables = [segment for segment in segments if segment.type == "PT_DYNAMIC"]
    for segment in tables:
        most = min(segment.file_size, MAX_ENTRIES * elf.entry_size("Elf_Dyn"))
        rows = elf.entries("Elf_Dyn", elf.at(segment.offset, most))
        used = list(takewhile(lambda row: row["d_tag"] != "DT_NULL", rows))
        entries += [(str(row["d_tag"]), row["d_val"]) for row in used]
        if len(used) == len(rows):
            problems.append(f"the dynamic segment at {segment.offset:#x} does not end")
    if len(tables) > 1:
        problems.append("there is more than one dynamic segment")

    strings = next((value for tag, value in entries if tag == "DT_STRTAB"), None)
    size = next((value for tag, value in entries if tag == "DT_STRSZ"), None)

    def texts(wanted: str) -> Iterable[str]:
        return (_string(elf, segments, strings, value) for tag, value in entries if tag == wanted)

    return Dynamic(
        present=bool(tables),
        problem="; ".join(problems) or None,
        needed=tuple(texts("DT_NEEDED")),
        rpath=next(iter(texts("DT_RPATH")), None),
        runpath=next(iter(texts("DT_RUNPATH")), None),
        pie_flag=any(tag == "DT_FLAGS_1" and value & _DF_1_PIE for tag, value in entries),
        bind_now=any(
            tag == "DT_BIND_NOW"
            or (tag == "DT_FLAGS" and value & _DF_BIND_NOW)
            or (tag == "DT_FLAGS_1" and value & _DF_1_NOW)
            for tag, value in entries
        ),
        text_relocations=any(
            tag == "DT_TEXTREL" or (tag == "DT_FLAGS" and value & _DF_TEXTREL)
            for tag, value in entries
        ),
        strings=None if strings is None or size is None else (strings, size),
        tags=dict(reversed(entries)),
    )


def _string(elf: ElfFile, segments: tuple[Segment, ...], strings: int | None, index: int) -> str:
    """Return a string of the dynamic string table; one that cannot be found still counts."""
    if strings is not None:
        address = strings + index
        for segment in segments:
            inside = address - segment.vaddr
            if segment.type == "PT_LOAD" and 0 <= inside < segment.file_size:
                limit = min(_MAX_STRING, segment.file_size - inside)
                text, end, _ = elf.at(segment.offset + inside, limit).partition(b"\0")
                if end:
                    return printable(text)
    return f"(unreadable name {index:#x})"
