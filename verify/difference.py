"""Where two files that should be the same are not: in which region, at which byte, beside which strings.

Regions of an ELF file are its headers and its sections, or its segments where it has no sections (UPX drops them).
Regions of the same name are compared with each other, so that one byte more does not make the whole rest differ.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from core.errors import VerdictError
from verify.elf_file import ElfFile, open_elf
from verify.sections import read_sections

SHOWN: Final = 8
"""Hunks that are shown one by one."""
BYTES: Final = 16
"""Bytes of each side that a hunk shows."""
NEAR: Final = 48
"""Bytes before and after a hunk where strings are looked for."""
TOGETHER: Final = 8
"""Hunks with fewer equal bytes than this between them are one."""

_FRAME: Final = ("ELF header", "program headers", "section headers", "gap after", "after")
_STRING: Final = re.compile(rb"[\x20-\x7e]{4,}")
_BLOCK: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Region:
    """A named range of a file. Offsets and sizes in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Side:
    """One file's version of a hunk."""

    offset: int
    size: int
    bytes: bytes
    """The first of them, see `BYTES`."""
    strings: tuple[str, ...]
    """Printable text in it or near it."""

    def text(self) -> str:
        """One line."""
        more = " …" if self.size > len(self.bytes) else ""
        near = "  near " + ", ".join(f'"{text}"' for text in self.strings) if self.strings else ""
        return f"at {self.offset:#x}, {self.size} B: {self.bytes.hex(' ') or '-'}{more}{near}"


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """A run of bytes that differs."""

    region: str
    first: Side
    second: Side


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two files differ: true when they do."""

    sizes: tuple[int, int]
    resized: tuple[tuple[str, int, int], ...]
    """Regions of another size, 0 for one that is not there."""
    hunks: tuple[Hunk, ...]
    """The first of them, see `SHOWN`."""
    count: int
    """How many there are."""

    def __bool__(self) -> bool:
        return bool(self.count)

    def text(self) -> str:
        """Lines for people."""
        sizes = f"{self.sizes[0]:,} and {self.sizes[1]:,} bytes"
        lines = [f"{self.count} places differ ({sizes})"]
        lines += [f"  {name}: {one:,} and {two:,} bytes" for name, one, two in self.resized]
        for hunk in self.hunks:
            lines += [f"  {hunk.region}", f"    1 {hunk.first.text()}"]
            lines += [f"    2 {hunk.second.text()}"]
        if self.count > len(self.hunks):
            lines.append(f"  and {self.count - len(self.hunks)} more")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "sizes": list(self.sizes),
            "resized": [list(row) for row in self.resized],
            "count": self.count,
            "places": [
                {"part": hunk.region}
                | {
                    name: {**asdict(side), "bytes": side.bytes.hex()}
                    for name, side in (("first", hunk.first), ("second", hunk.second))
                }
                for hunk in self.hunks
            ],
        }


def find_difference(first: Path, second: Path) -> Difference:
    """Compare two files of any kind, byte by byte. Both are read whole."""
    one, two = first.read_bytes(), second.read_bytes()
    if one == two:
        return Difference(sizes=(len(one), len(two)), resized=(), hunks=(), count=0)
    resized: list[tuple[str, int, int]] = []
    hunks: list[Hunk] = []
    for mine, theirs in _pairs(regions(first), regions(second)):
        if mine.size != theirs.size:
            resized.append((mine.name, mine.size, theirs.size))
        hunks += _hunks(one, mine, two, theirs)
    # Headers and gaps differ because something in between does, which is what somebody looks for.
    resized.sort(key=lambda row: row[0].startswith(_FRAME))
    hunks.sort(key=lambda hunk: hunk.region.startswith(_FRAME))
    return Difference(
        sizes=(len(one), len(two)),
        resized=tuple(resized),
        hunks=tuple(hunks[:SHOWN]),
        count=len(hunks),
    )


def regions(path: Path) -> list[Region]:
    """Return the file's regions in its order: together they are the whole file, and none overlap."""
    size = path.stat().st_size
    found: list[Region] = []
    try:
        with open_elf(path) as elf:
            found = sorted(_elf_regions(elf), key=lambda region: (region.offset, -region.size))
    except VerdictError:
        pass  # no ELF file, or none that can be walked through
    whole: list[Region] = []
    end, name = 0, ""
    for region in found:
        if region.offset > end:
            whole.append(Region(name=f"gap after {name}", offset=end, size=region.offset - end))
        stop = min(region.offset + region.size, size)
        if stop > end:  # else it lies within what came before
            start = max(region.offset, end)
            whole.append(Region(name=region.name, offset=start, size=stop - start))
            end, name = stop, region.name
    if end < size:
        rest = f"after {name}" if name else "file"
        whole.append(Region(name=rest, offset=end, size=size - end))
    return _numbered(whole)


def _numbered(found: Iterable[Region]) -> list[Region]:
    """Tell regions of one name from each other."""
    seen: Counter[str] = Counter()
    numbered = []
    for region in found:
        seen[region.name] += 1
        name = region.name if seen[region.name] == 1 else f"{region.name} #{seen[region.name]}"
        numbered.append(Region(name=name, offset=region.offset, size=region.size))
    return numbered


def _elf_regions(elf: ElfFile) -> Iterator[Region]:
    header = elf.header
    yield Region(name="ELF header", offset=0, size=header.size)
    table = header.segments_end - header.segments_offset
    yield Region(name="program headers", offset=header.segments_offset, size=table)
    segments = elf.segments()

    def where(offset: int) -> str:
        for segment in segments:
            if segment.type == "PT_LOAD" and segment.offset <= offset < segment.file_end:
                flags = (segment.readable, segment.writable, segment.executable)
                return "".join(f if on else "-" for f, on in zip("rwx", flags, strict=True))
        return "not loaded"

    sections = read_sections(elf)
    if sections and not isinstance(sections, str):
        for section in sections:
            if section.in_file and section.size:
                name = f"{section.name or 'unnamed'} ({where(section.offset)})"
                yield Region(name=name, offset=section.offset, size=section.size)
        table = header.sections_end - header.sections_offset
        name = f"section headers ({where(header.sections_offset)})"
        yield Region(name=name, offset=header.sections_offset, size=table)
    else:
        for number, segment in enumerate(segments):
            if segment.type == "PT_LOAD":
                name = f"segment {number} ({where(segment.offset)})"
                yield Region(name=name, offset=segment.offset, size=segment.file_size)


def _pairs(first: list[Region], second: list[Region]) -> Iterator[tuple[Region, Region]]:
    """Yield the regions of each name, in the order of the first file; empty where one has none."""
    theirs = {region.name: region for region in second}
    for region in first:
        yield region, theirs.pop(region.name, Region(name=region.name, offset=0, size=0))
    for region in theirs.values():
        yield Region(name=region.name, offset=0, size=0), region


def _hunks(one: bytes, mine: Region, two: bytes, theirs: Region) -> Iterator[Hunk]:
    a = one[mine.offset : mine.offset + mine.size]
    b = two[theirs.offset : theirs.offset + theirs.size]
    for (start, stop), (other, end) in _ranges(a, b):
        yield Hunk(
            region=mine.name,
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
