"""Where two files that should be the same are not: in which region, at which byte, beside which strings.

Regions of an ELF file are its headers and its sections, or its segments where it has no sections (UPX drops them).
Regions of the same name are compared with each other, so that one byte more does not make the whole rest differ.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

from core.errors import VerdictError
from verify.elf_file import ElfFile, Segment, open_elf
from verify.sections import read_sections

SHOWN: Final = 8
"""Hunks that are shown one by one."""
BYTES: Final = 16
"""Bytes of each side that a hunk shows."""
NEAR: Final = 48
"""Bytes before and after a hunk where strings are looked for."""
TOGETHER: Final = 8
"""Hunks with fewer equal bytes than this between them are one."""

_BLOCK: Final = 4096
_FRAME: Final = ("ELF header", "program headers", "section headers", "gap after", "after")
_STRING: Final = re.compile(rb"[\x20-\x7e]{4,}")
_UNLIKE: Final = re.compile(rb"[^\0]++(?:\0{1,%d}+[^\0]++)*+" % (TOGETHER - 1))
"""A hunk, in the exclusive or of both files."""


class Region(NamedTuple):
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
        more = " …" if self.size > len(self.bytes) else ""
        near = "  near " + ", ".join(f'"{text}"' for text in self.strings) if self.strings else ""
        return f"at {self.offset:#x}, {self.size} B: {self.bytes.hex(' ') or '-'}{more}{near}"

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "bytes": self.bytes.hex()}


class Hunk(NamedTuple):
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
        return {
            "sizes": self.sizes,
            "resized": self.resized,
            "count": self.count,
            "places": [
                {"part": name, "first": first.as_dict(), "second": second.as_dict()}
                for name, first, second in self.hunks
            ],
        }


def find_difference(first: Path, second: Path) -> Difference:
    """Compare two files of any kind, byte by byte. Both are read whole."""
    one, two = first.read_bytes(), second.read_bytes()
    resized: list[tuple[str, int, int]] = []
    # Headers and gaps differ because something in between does, which is what somebody looks for.
    shown: dict[bool, list[Hunk]] = {False: [], True: []}
    count = 0
    for (name, at, size), (_, there, length) in _pairs(regions(first), regions(second)):
        if size != length:
            resized.append((name, size, length))
        kept = shown[name.startswith(_FRAME)]
        for (start, stop), (other, end) in _ranges(
            one[at : at + size], two[there : there + length]
        ):
            count += 1
            if len(kept) < SHOWN:
                mine = _side(one, at + start, at + stop)
                kept.append(Hunk(name, mine, _side(two, there + other, there + end)))
    resized.sort(key=lambda row: row[0].startswith(_FRAME))
    return Difference(
        sizes=(len(one), len(two)),
        resized=tuple(resized),
        hunks=tuple((shown[False] + shown[True])[:SHOWN]),
        count=count,
    )


def regions(path: Path) -> list[Region]:
    """Return the file's regions in its order: together they are the whole file, and none overlap."""
    size = path.stat().st_size
    found: list[Region] = []
    # Else it is no ELF file, or none that can be walked through.
    with suppress(VerdictError), open_elf(path) as elf:
        found = sorted(_elf_regions(elf), key=lambda region: (region.offset, -region.size))
    whole: list[Region] = []
    names: Counter[str] = Counter()
    end, last = 0, ""

    def add(name: str, stop: int) -> None:
        nonlocal end
        names[name] += 1
        number = f" #{names[name]}" if names[name] > 1 else ""
        whole.append(Region(name + number, end, stop - end))
        end = stop

    for region in found:
        stop = min(region.offset + region.size, size)
        if stop > end:  # else it lies within what came before
            if region.offset > end:
                add(f"gap after {last}", region.offset)
            add(region.name, stop)
            last = region.name
    if end < size:
        add(f"after {last}" if last else "file", size)
    return whole


def _elf_regions(elf: ElfFile) -> Iterator[Region]:
    header = elf.header
    yield Region("ELF header", 0, elf.layout.header_size)
    segments = elf.segments()
    if segments:
        yield Region("program headers", header["e_phoff"], elf.segments_end - header["e_phoff"])
    permissions = loaded_as(segments)
    starts = [start for start, _ in permissions]

    def where(offset: int) -> str:
        return permissions[bisect_right(starts, offset) - 1][1]

    sections = read_sections(elf)
    if sections and not isinstance(sections, str):
        for section in sections:
            if section.file_end and section.size:
                name = f"{section.name or 'unnamed'} ({where(section.offset)})"
                yield Region(name, section.offset, section.size)
        name = f"section headers ({where(header['e_shoff'])})"
        yield Region(name, header["e_shoff"], elf.sections_end - header["e_shoff"])
    else:
        for number, segment in enumerate(segments):
            if segment.type == "PT_LOAD":
                name = f"segment {number} ({where(segment.offset)})"
                yield Region(name, segment.offset, segment.file_size)


def loaded_as(segments: Iterable[Segment]) -> list[tuple[int, str]]:
    """Return from which offset on the file is loaded with which permissions: of the first segment that has it."""
    loads = [s for s in segments if s.type == "PT_LOAD" and s.file_size > 0]
    edges = {edge for segment in loads for edge in (segment.offset, segment.file_end)}
    begin = sorted(enumerate(loads), key=lambda pair: pair[1].offset)
    here: list[int] = []  # a heap: the first segment in the table on top
    found, taken = [(0, "not loaded")], 0
    for edge in sorted(edges):
        while taken < len(begin) and begin[taken][1].offset <= edge:
            heappush(here, begin[taken][0])
            taken += 1
        while here and loads[here[0]].file_end <= edge:
            heappop(here)
        found.append((edge, loads[here[0]].permissions if here else "not loaded"))
    return found


def _pairs(first: list[Region], second: list[Region]) -> Iterator[tuple[Region, Region]]:
    """Yield the regions of each name, in the order of the first file; empty where one has none."""
    theirs = {region.name: region for region in second}
    for region in first:
        yield region, theirs.pop(region.name, Region(region.name, 0, 0))
    for region in theirs.values():
        yield Region(region.name, 0, 0), region


def _ranges(a: bytes, b: bytes) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the stretches that differ, as (start, end) in either."""
    if len(a) == len(b):
        either = (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))
        for match in _UNLIKE.finditer(either):
            yield match.span(), match.span()
        return
    # Something was put in: what is equal before and after it is left out.
    least = min(len(a), len(b))
    begin = _equal(a[:least], b[:least])
    rest = least - begin
    equal = _equal(a[len(a) - rest :][::-1], b[len(b) - rest :][::-1])
    yield (begin, len(a) - equal), (begin, len(b) - equal)


def _equal(a: bytes, b: bytes) -> int:
    """Return how many bytes are equal before the first that differs, of two that are as long as each other."""
    for at in range(0, len(a), _BLOCK):
        if a[at : at + _BLOCK] != b[at : at + _BLOCK]:
            return next(i for i in range(at, len(a)) if a[i] != b[i])
    return len(a)


def _side(data: bytes, start: int, stop: int) -> Side:
    shown = min(stop, start + BYTES)
    near = _STRING.findall(data[max(0, start - NEAR) : shown + NEAR])
    return Side(
        offset=start,
        size=stop - start,
        bytes=data[start:shown],
        strings=tuple(text.decode("ascii") for text in near[:4]),
    )
