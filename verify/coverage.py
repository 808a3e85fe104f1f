"""All bytes of a file accounted for: what no header describes is a payload until somebody says otherwise.

A byte is accounted for when it lies in the ELF header, in one of the two tables, in a segment that is loaded (and
judged as such), or in a section or a note that is not loaded, is of a kind known here, and holds what that kind holds.
All else must be padding: zero or, behind code, traps.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from verify.elf_file import ElfFile, Segment, file_ranges, merge_ranges
from verify.sections import DEBUG_NAMES, Section

Range = tuple[int, int]
"""File offsets: the first, and the first after it."""
Check = Callable[[bytes, ElfFile, Sequence[int]], str]
"""Says what is wrong with the contents of a section that is not loaded; empty when nothing is. The numbers are where
names of sections begin in the table of them, in order."""

MAX_GAPS: Final = 20
_WINDOW: Final = 1024 * 1024
_LARGEST: Final = 1024 * 1024
_LONGEST_COMMENT: Final = 256
_LARGEST_COMMENTS: Final = 16 * 1024
_LARGEST_ATTRIBUTES: Final = 4096
_LONGEST_LINK: Final = 256
_LONGEST_BUILD_ID: Final = 64
_SMALLEST_PAGE: Final = 4096
_LARGEST_PAGE: Final = 65536
_TRAPS: Final = {
    "EM_386": 0xCCCCCCCC,
    "EM_X86_64": 0xCCCCCCCC,
    "EM_ARM": 0xD4D4D4D4,
    "EM_S390": 0x07070707,
    "EM_PPC": 0x7FE00008,
    "EM_PPC64": 0x7FE00008,
    "EM_MIPS": 0x04170001,
    "EM_LOONGARCH": 0x002A0000,
}
_WARNING: Final = ".gnu.warning."
_NO_PROGRAM: Final = {"ET_REL", "ET_CORE"}
_NOTES: Final = {
    ("GNU", 1): 32,  # the oldest kernel
    ("GNU", 2): 4096,  # hardware capabilities
    ("GNU", 3): 64,  # build-id
    ("GNU", 4): 64,  # version of gold
    ("GNU", 5): 4096,  # properties: CET, BTI
    ("stapsdt", 3): 1024,  # probes of SystemTap
    ("Go", 4): 256,  # build id
    ("FDO", 0xCAFE1A7E): 4096,  # the distribution's package
    ("FDO", 0x407C0C0A): 4096,  # what is loaded by dlopen
    ("GA", 0x100): 64,  # how it was compiled: annobin
    ("GA", 0x101): 64,
}
"""Notes that may lie where nothing is loaded, by owner and type: the largest that each can be, in bytes."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Bytes that are not accounted for, and why."""

    offset: int
    size: int
    why: str

    def __str__(self) -> str:
        return f"{self.size} B at offset {self.offset:#x}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What is accounted for, and what is not.

    ``gaps``: the first MAX_GAPS. ``appended``: bytes after all that headers describe, zero when all of them are.
    ``unloaded``: the sections and notes that are not loaded, and are what they should be.
    """

    gaps: tuple[Gap, ...]
    appended: int
    unloaded: tuple[Range, ...]


def read_coverage(
    elf: ElfFile, segments: tuple[Segment, ...], sections: tuple[Section, ...]
) -> Coverage:
    """Account for every byte; reads each at most twice, however the headers overlap."""
    loaded = file_ranges((s for s in segments if s.type == "PT_LOAD"), elf.size)
    tables = [(0, elf.layout.header_size)]
    tables += [(elf.header["e_phoff"], elf.segments_end)] if segments else []
    tables += [(elf.header["e_shoff"], elf.sections_end)] if sections else []
    gaps: list[Gap] = []
    known: list[Range] = []
    sought: list[Range] = []
    program = elf.header["e_type"] not in _NO_PROGRAM
    names_at = sorted({section.name_at for section in sections})
    for part in sorted(_parts(segments, sections), key=lambda part: (part.start, -part.end)):
        # What ends outside the file is a finding of its own.
        if part.end > elf.size or _inside(loaded, part):
            continue
        end = known[-1][1] if known else 0
        if part.again and part.end <= end:
            continue
        why = ""
        if program:
            overlaps = f"{part.name} lies over another one"
            why = overlaps if part.start < end else _problem(part, elf, names_at)
        if why:
            gaps.append(Gap(offset=part.start, size=part.end - part.start, why=why))
        elif part.check and program:
            sought.append((part.start, part.end))
        known.append((part.start, max(part.end, end)))
    described = merge_ranges([*loaded, *tables, *known])
    code = (segment for segment in segments if segment.type == "PT_LOAD" and segment.executable)
    ends_of_code = {segment.file_end: segment.align for segment in code}
    ends = [end for _, end in tables] + [section.file_end for section in sections]
    last = max([*ends, *(segment.file_end for segment in segments if segment.file_size > 0)])
    for start, end in _between(described, min(last, elf.size)):
        filled = _filled(elf, ends_of_code.get(start, 0), start, end)
        if span := _used(elf, filled, end):
            gaps.append(Gap(offset=span[0], size=span[1] - span[0], why="no header describes it"))
    return Coverage(
        gaps=tuple(sorted(gaps, key=lambda gap: gap.offset)[:MAX_GAPS]),
        appended=elf.size - last if _used(elf, last, elf.size) else 0,
        unloaded=tuple(merge_ranges(sought)),
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A section, or a segment of notes, that may not be loaded."""

    name: str
    start: int
    end: int
    check: Check | None
    refused: bool = False
    """Another rule does not let it pass, so that nobody looks into it here."""
    again: bool = False
    """It says once more what a section may have said."""


def _parts(segments: Iterable[Segment], sections: tuple[Section, ...]) -> Iterator[_Part]:
    symbols = any(section.type == "SHT_SYMTAB" for section in sections)
    for section in sections:
        if section.file_end and section.size:
            symbolic = section.type in {"SHT_SYMTAB", "SHT_SYMTAB_SHNDX"}
            symbolic = symbolic or (section.type, section.name) == ("SHT_STRTAB", ".strtab")
            yield _Part(
                name=f"section '{section.name}'",
                start=section.offset,
                end=section.file_end,
                check=_KINDS.get(section.type) or _NAMED.get((section.type, _plain(section.name))),
                refused=section.name.startswith(DEBUG_NAMES) or (symbols and symbolic),
            )
    for s in segments:
        if s.type == "PT_NOTE" and s.file_size:
            yield _Part(
                name="a segment of notes", start=s.offset, end=s.file_end, check=_notes, again=True
            )


def _problem(part: _Part, elf: ElfFile, names_at: Sequence[int]) -> str:
    """Return why a part is not accounted for; empty when it is."""
    if part.refused:
        return ""
    if part.check is None:
        return f"{part.name} is not loaded, and of no known kind"
    size = part.end - part.start
    if size > _LARGEST:
        return f"{part.name} is not loaded, and larger than any of its kind"
    problem = part.check(elf.at(part.start, size), elf, names_at)
    return problem and f"{part.name} is not loaded, and {problem}"


def _names(content: bytes, _elf: ElfFile, names_at: Sequence[int]) -> str:
    """The names of the sections and nothing else; one may be the end of another."""
    at = 0
    for name in content.split(b"\0"):
        if name:
            first = bisect_left(names_at, at)
            begin = names_at[first] if first < len(names_at) else len(content)
            if begin > at:
                return "holds more than the names of sections"
        at += len(name) + 1
    return ""


def _comment(content: bytes, _elf: ElfFile, _names_at: Sequence[int]) -> str:
    """Who compiled it: a few lines of text."""
    lines = content.split(b"\0")
    named = all(len(line) <= _LONGEST_COMMENT and _is_text(line) for line in lines)
    return "" if named and len(content) <= _LARGEST_COMMENTS else "names more than compilers"


def _debug_link(content: bytes, _elf: ElfFile, _names_at: Sequence[int]) -> str:
    """The name of the file with the debug information, padding to a multiple of 4 B, and a checksum of 4 B."""
    name, end, rest = content.partition(b"\0")
    padding, checksum = rest[:-4], len(rest[-4:])
    fine = _is_file_name(name) and end and len(content) % 4 == 0 and checksum == 4
    return "" if fine and len(padding) < 4 and not any(padding) else "names no other file"


def _shared_debug_link(content: bytes, _elf: ElfFile, _names_at: Sequence[int]) -> str:
    """The path of the file with the debug information that others have, too, and its build-id."""
    name, end, rest = content.partition(b"\0")
    fine = _is_file_name(name.replace(b"/", b"")) and end and len(rest) <= _LONGEST_BUILD_ID
    return "" if fine else "names no other file"


def _is_file_name(name: bytes) -> bool:
    return 0 < len(name) <= _LONGEST_LINK and b"/" not in name and _is_text(name)


def _attributes(content: bytes, elf: ElfFile, _names_at: Sequence[int]) -> str:
    """What the object files were compiled for: a letter, and vendors' subsections, each with its length.

    Some linkers merge those of all object files, others put them one after the other.
    """
    length = struct.Struct("<I" if elf.layout.little_endian else ">I")
    at = 0
    while at + 1 + length.size <= len(content) and content[at : at + 1] == b"A":
        at += 1
        while at + length.size <= len(content):
            (size,) = length.unpack_from(content, at)
            if not length.size <= size <= len(content) - at:
                break
            at += size
    fine = 0 < at == len(content) <= _LARGEST_ATTRIBUTES
    return "" if fine else "holds no build attributes"


def _notes(content: bytes, elf: ElfFile, _names_at: Sequence[int]) -> str:
    """Notes of known owners and types, each no larger than it can be; aligned to 4 B, or to 8 B."""
    problems = [_note_problem(content, elf, align) for align in (4, 8)]
    return "" if "" in problems else problems[0]


def _note_problem(content: bytes, elf: ElfFile, align: int) -> str:
    header = struct.Struct("<III" if elf.layout.little_endian else ">III")
    at = 0
    while at < len(content):
        if at + header.size > len(content):
            return "holds more than notes"
        name_size, size, kind = header.unpack_from(content, at)
        at += header.size
        name = content[at : at + name_size].rstrip(b"\0")
        at += name_size
        padding = content[at : at - at % -align]
        at -= at % -align
        end = at + size
        padding += content[end : end - end % -align]
        # Annobin writes its finding into the name itself, as bytes.
        owner = "GA" if name[:2] == b"GA" and name_size <= _LONGEST_COMMENT else _text(name)
        if end > len(content) or any(padding):
            return "holds more than notes"
        if size > _NOTES.get((owner, kind), -1):
            return f"holds a note of owner '{owner}', type {kind:#x} and {size} B"
        at = end - end % -align
    return ""


_KINDS: Final[dict[str, Check]] = {
    "SHT_NOTE": _notes,
    "SHT_ARM_ATTRIBUTES": _attributes,
    "SHT_RISCV_ATTRIBUTES": _attributes,
    "SHT_GNU_ATTRIBUTES": _attributes,
}
_NAMED: Final[dict[tuple[str, str], Check]] = {
    ("SHT_STRTAB", ".shstrtab"): _names,
    ("SHT_PROGBITS", ".comment"): _comment,
    ("SHT_PROGBITS", _WARNING): _comment,
    ("SHT_PROGBITS", ".gnu_debuglink"): _debug_link,
    ("SHT_PROGBITS", ".gnu_debugaltlink"): _shared_debug_link,
}
"""What a section that is not loaded may be, by its type and by its name, and what looks into it."""


def _plain(name: str) -> str:
    """The name of a section, of a linker's warnings without the function that they warn of."""
    return _WARNING if name.startswith(_WARNING) else name


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _text(name: bytes) -> str:
    return name[:_LONGEST_COMMENT].decode() if _is_text(name[:_LONGEST_COMMENT]) else "unknown"


def _inside(ranges: list[Range], part: _Part) -> bool:
    """Tell whether a part lies within one of ``ranges``, which are merged and in order."""
    at = bisect_left(ranges, (part.start + 1, 0)) - 1
    return at >= 0 and part.end <= ranges[at][1]


def _between(ranges: list[Range], stop: int) -> Iterator[Range]:
    """Yield what lies between ``ranges``, and after them up to ``stop``."""
    last = 0
    for start, end in [*ranges, (stop, stop)]:
        if last < min(start, stop):
            yield last, min(start, stop)
        last = max(last, end)


def _filled(elf: ElfFile, align: int, start: int, end: int) -> int:
    """Return where padding of traps ends, which lld puts between code (that ends at ``start``) and the next page.

    Code that runs off its end is to be stopped: ``trapInstr`` in
    https://github.com/llvm/llvm-project/tree/llvmorg-22.1.0/lld/ELF/Arch, here by ``e_machine``.
    """
    order: Literal["little", "big"] = "little" if elf.layout.little_endian else "big"
    trap = _TRAPS.get(elf.header["e_machine"], 0).to_bytes(4, order)
    page = min(max(align, _SMALLEST_PAGE), _LARGEST_PAGE)
    stop = min(end, start - start % -page) if align else start
    pattern = (trap * (page // 4 + 1))[start % 4 :]
    return stop if elf.at(start, stop - start) == pattern[: stop - start] else start


def _used(elf: ElfFile, start: int, end: int) -> Range | None:
    """Return the range from the first byte that is not zero to the last, None when all are."""
    first = last = -1
    for position in range(start, end, _WINDOW):
        window = elf.at(position, min(_WINDOW, end - position))
        if left := len(window.lstrip(b"\0")):
            first = position + len(window) - left if first < 0 else first
            last = position + len(window.rstrip(b"\0"))
    return None if first < 0 else (first, last)
