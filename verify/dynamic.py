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
"""Of all dynamic segments together; programs have some 40."""
MAX_NAMES: Final = 256
"""Names that are read; of the others it is only known that they are there."""
_SHOWN: Final = 3
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
    """Read every PT_DYNAMIC, found by program header only; raises MalformedElfError.

    Reads no table twice, and MAX_ENTRIES in all, however many segments there are.
    """
    entries: list[tuple[str, int]] = []
    endless: list[int] = []
    left = MAX_ENTRIES
    tables = [segment for segment in segments if segment.type == "PT_DYNAMIC"]
    for offset, length in dict.fromkeys((table.offset, table.file_size) for table in tables):
        size = min(length, left * elf.entry_size("Elf_Dyn"))
        rows = elf.rows("Elf_Dyn", elf.at(offset, size))
        used = [
            (str(row["d_tag"]), row["d_val"])
            for row in takewhile(lambda row: row["d_tag"] != "DT_NULL", rows)
        ]
        entries += used
        whole = size // elf.entry_size("Elf_Dyn")
        left -= whole
        if len(used) >= min(whole, (elf.size - offset) // elf.entry_size("Elf_Dyn")):
            endless.append(offset)
    problems = [f"the dynamic segment at {offset:#x} does not end" for offset in endless[:_SHOWN]]
    if len(endless) > _SHOWN:
        problems.append(f"nor do {len(endless) - _SHOWN} more")
    if len(tables) > 1:
        problems.append("there is more than one dynamic segment")

    strings = next((value for tag, value in entries if tag == "DT_STRTAB"), None)
    strings_size = next((value for tag, value in entries if tag == "DT_STRSZ"), None)
    loads = tuple(segment for segment in segments if segment.type == "PT_LOAD")

    def texts(wanted: str) -> Iterable[str]:
        values = (value for tag, value in entries if tag == wanted)
        for number, value in enumerate(values):
            yield _string(elf, loads if number < MAX_NAMES else (), strings, value)

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
        strings=None if strings is None or strings_size is None else (strings, strings_size),
        tags=dict(reversed(entries)),
    )


def _string(elf: ElfFile, loads: tuple[Segment, ...], strings: int | None, index: int) -> str:
    """Return a string of the dynamic string table; one that cannot be found still counts."""
    if strings is not None:
        address = strings + index
        for segment in loads:
            inside = address - segment.vaddr
            if 0 <= inside < segment.file_size:
                limit = min(_MAX_STRING, segment.file_size - inside)
                text, end, _ = elf.at(segment.offset + inside, limit).partition(b"\0")
                if end:
                    return printable(text)
    return f"(unreadable name {index:#x})"
