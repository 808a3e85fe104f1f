"""Where two files that should be the same are not: in which part, at which byte, beside which strings.

Parts of an ELF file are its headers and its sections, or its segments where it has no sections (UPX drops them).
Parts of the same name are compared with each other, so that one byte more does not make the whole rest differ.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from core.errors import VerdictError
from verify.elf_file import ElfFile, open_elf
from verify.printable import printable

SHOWN: Final = 8
"""Places that are told of by themselves."""
BYTES: Final = 16
"""Bytes of each side that a place shows."""
NEAR: Final = 48
"""Bytes before and after a place where strings are looked for."""
TOGETHER: Final = 8
"""Places with fewer equal bytes than this between them are one."""

_FRAME: Final = ("ELF header", "program headers", "section headers", "gap after", "after")
_STRING: Final = re.compile(rb"[\x20-\x7e]{4,}")
_BLOCK: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Part:
    """A named stretch of a file. Offsets and sizes in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Side:
    """One file's version of a place."""

    offset: int
    size: int
    bytes: bytes
    """The first of them, see `BYTES`."""
    strings: tuple[str, ...]
    """Printable text at the place or near it."""

    def text(self) -> str:
        """One line."""
        more = " …" if self.size > len(self.bytes) else ""
        near = "  near " + ", ".join(f'"{one}"' for one in self.strings) if self.strings else ""
        return f"at {self.offset:#x}, {self.size} B: {self.bytes.hex(' ') or '-'}{more}{near}"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A stretch that differs."""

    part: str
    first: Side
    second: Side


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two files differ: true when they do."""

    sizes: tuple[int, int]
    resized: tuple[tuple[str, int, int], ...]
    """Parts of another size, 0 for one that is not there."""
    places: tuple[Place, ...]
    """The first of them, see `SHOWN`."""
    count: int
    """How many places there are."""

    def __bool__(self) -> bool:
        return bool(self.count)

    def text(self) -> str:
        """Lines for people."""
        sizes = f"{self.sizes[0]:,} and {self.sizes[1]:,} bytes"
        lines = [f"{self.count} places differ ({sizes})"]
        lines += [f"  {name}: {one:,} and {two:,} bytes" for name, one, two in self.resized]
        for place in self.places:
            lines += [f"  {place.part}", f"    1 {place.first.text()}"]
            lines += [f"    2 {place.second.text()}"]
        if self.count > len(self.places):
            lines.append(f"  and {self.count - len(self.places)} more")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "sizes": list(self.sizes),
            "resized": [list(one) for one in self.resized],
            "count": self.count,
            "places": [
                {"part": place.part}
                | {
                    name: {
                        "offset": side.offset,
                        "size": side.size,
                        "bytes": side.bytes.hex(),
                        "strings": list(side.strings),
                    }
                    for name, side in (("first", place.first), ("second", place.second))
                }
                for place in self.places
            ],
        }


def find_difference(first: Path, second: Path) -> Difference:
    """Compare two files of any kind, byte by byte. Both are read whole."""
    one, two = first.read_bytes(), second.read_bytes()
    if one == two:
        return Difference(sizes=(len(one), len(two)), resized=(), places=(), count=0)
    resized: list[tuple[str, int, int]] = []
    places: list[Place] = []
    for mine, theirs in _pairs(parts(first), parts(second)):
        if mine.size != theirs.size:
            resized.append((mine.name, mine.size, theirs.size))
        places += _places(one, mine, two, theirs)
    # Headers and gaps differ because something in between does, which is what somebody looks for.
    resized.sort(key=lambda row: row[0].startswith(_FRAME))
    places.sort(key=lambda place: place.part.startswith(_FRAME))
    return Difference(
        sizes=(len(one), len(two)),
        resized=tuple(resized),
        places=tuple(places[:SHOWN]),
        count=len(places),
    )


def parts(path: Path) -> list[Part]:
    """Return the file's parts in its order: together they are the whole file, and none overlap."""
    size = path.stat().st_size
    found: list[Part] = []
    try:
        with open_elf(path) as elf:
            found = sorted(_elf_parts(elf), key=lambda part: (part.offset, -part.size))
    except VerdictError:
        pass  # no ELF file, or none that can be walked through
    whole: list[Part] = []
    end, name = 0, ""
    for part in found:
        if part.offset > end:
            whole.append(Part(name=f"gap after {name}", offset=end, size=part.offset - end))
        stop = min(part.offset + part.size, size)
        if stop > end:  # else it lies within what came before
            start = max(part.offset, end)
            whole.append(Part(name=part.name, offset=start, size=stop - start))
            end, name = stop, part.name
    if end < size:
        rest = f"after {name}" if name else "file"
        whole.append(Part(name=rest, offset=end, size=size - end))
    return _numbered(whole)


def _numbered(found: Iterable[Part]) -> list[Part]:
    """Tell parts of one name from each other."""
    seen: Counter[str] = Counter()
    told = []
    for part in found:
        seen[part.name] += 1
        name = part.name if seen[part.name] == 1 else f"{part.name} #{seen[part.name]}"
        told.append(Part(name=name, offset=part.offset, size=part.size))
    return told


def _elf_parts(elf: ElfFile) -> Iterator[Part]:
    header = elf.header
    yield Part(name="ELF header", offset=0, size=header.size)
    table = header.segments_end - header.segments_offset
    yield Part(name="program headers", offset=header.segments_offset, size=table)
    segments = elf.segments()

    def where(offset: int) -> str:
        for segment in segments:
            if segment.type == "PT_LOAD" and segment.offset <= offset < segment.file_end:
                flags = (segment.readable, segment.writable, segment.executable)
                return "".join(f if on else "-" for f, on in zip("rwx", flags, strict=True))
        return "not loaded"

    sections = list(_sections(elf))
    for section in sections:
        yield Part(
            name=f"{section.name} ({where(section.offset)})",
            offset=section.offset,
            size=section.size,
        )
    if not sections:
        for number, segment in enumerate(segments):
            if segment.type == "PT_LOAD":
                name = f"segment {number} ({where(segment.offset)})"
                yield Part(name=name, offset=segment.offset, size=segment.file_size)


def _sections(elf: ElfFile) -> Iterator[Part]:
    header = elf.header
    size = elf.entry_size("Elf_Shdr")
    if not header.sections_offset or header.sections_entry_size != size:
        return
    table = elf.at(header.sections_offset, size * header.sections_count)
    rows = elf.entries("Elf_Shdr", table)
    if header.section_names_index >= len(rows):
        return
    naming = rows[header.section_names_index]
    names = elf.at(naming["sh_offset"], naming["sh_size"])
    for row in rows:
        if row["sh_type"] not in ("SHT_NOBITS", "SHT_NULL") and row["sh_size"]:
            name = printable(names[row["sh_name"] :].partition(b"\0")[0][:256])
            yield Part(name=name or "unnamed", offset=row["sh_offset"], size=row["sh_size"])
    yield Part(name="section headers", offset=header.sections_offset, size=len(table))


def _pairs(first: list[Part], second: list[Part]) -> Iterator[tuple[Part, Part]]:
    """Yield the parts of each name, in the order of the first file; empty where one has none."""
    theirs = {part.name: part for part in second}
    for part in first:
        yield part, theirs.pop(part.name, Part(name=part.name, offset=0, size=0))
    for part in theirs.values():
        yield Part(name=part.name, offset=0, size=0), part


def _places(one: bytes, mine: Part, two: bytes, theirs: Part) -> Iterator[Place]:
    a = one[mine.offset : mine.offset + mine.size]
    b = two[theirs.offset : theirs.offset + theirs.size]
    for (start, stop), (other, end) in _ranges(a, b):
        yield Place(
            part=mine.name,
            first=_side(one, mine.offset + start, mine.offset + stop),
            second=_side(two, theirs.offset + other, theirs.offset + end),
        )


def _ranges(a: bytes, b: bytes) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the stretches that differ, as (start, end) in either."""
    if len(a) != len(b):
        # Something was put in: what is equal before and after it is left out.
        least = min(len(a), len(b))
        begin = next((i for i in range(least) if a[i] != b[i]), least)
        rest = least - begin
        equal = next((i for i in range(rest) if a[-1 - i] != b[-1 - i]), rest)
        yield (begin, len(a) - equal), (begin, len(b) - equal)
        return
    start = stop = -1
    for block in range(0, len(a), _BLOCK):
        if a[block : block + _BLOCK] == b[block : block + _BLOCK]:
            continue
        pairs = zip_longest(a[block : block + _BLOCK], b[block : block + _BLOCK])
        for index, (x, y) in enumerate(pairs, block):
            if x == y:
                continue
            if start >= 0 and index - stop >= TOGETHER:
                yield (start, stop), (start, stop)
                start = index
            elif start < 0:
                start = index
            stop = index + 1
    if start >= 0:
        yield (start, stop), (start, stop)


def _side(data: bytes, start: int, stop: int) -> Side:
    low = max(0, start - NEAR)
    near = [
        match[0].decode("ascii")
        for match in _STRING.finditer(data[low : min(len(data), stop, start + BYTES) + NEAR])
    ]
    return Side(
        offset=start,
        size=stop - start,
        bytes=data[start : min(stop, start + BYTES)],
        strings=tuple(near[:4]),
    )
