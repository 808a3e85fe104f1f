"""What is true of an ELF file, read once and judged elsewhere.

All that must hold after packing comes from program headers and the dynamic segment: section headers
may be gone, and then "no .dynamic section" says nothing about being static.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final, Literal

from verify.about import About, read_about
from verify.build_paths import compile_build_paths, find_build_paths
from verify.dynamic import read_dynamic
from verify.elf_file import ElfFile, MalformedElfError, NotElfError, Segment, named, open_elf
from verify.place import NOWHERE, Place, Role
from verify.printable import printable
from verify.protection import Position, Protection, find_position, read_protection
from verify.sections import read_sections
from verify.stack_guard import count_guard_reads

__all__ = ["ElfFacts", "MalformedElfError", "NotElfError", "Packing", "Segment", "read_facts"]

_PATH_MAX: Final = 4096
# ".gnu_debuglink" is not among them: it only names a separate file, and makes this one no bigger.
_DEBUG: Final = (".debug", ".zdebug", ".stab", ".gdb_index", ".gnu_debugdata")
_UPX_MAGIC: Final = b"UPX!"
_INFO_SIZE: Final = 12
_PACK_HEADER_SIZE: Final = 32
_TRAILER_SIZE: Final = _PACK_HEADER_SIZE + 4


class Depth(IntEnum):
    """How much of a file is read."""

    HEADERS = 0
    """What the kernel and a loader read of it: some kilobytes."""
    BYTES = 1
    """Also what only a search through all of it can tell."""
    ALL = 2
    """Also what no rule needs."""


class Packing(StrEnum):
    """How a file is packed, seen where UPX itself looks.

    UPX writes ``l_info`` (checksum, "UPX!", …: 12 bytes) right after the program headers, and at the
    end of the file a 32-byte pack header ("UPX!", …, checksum) and the 4-byte offset of the packed
    data. Without the latter the file still runs, and ``upx -d`` refuses it: that is what stripping
    after packing does (https://github.com/upx/upx/issues/712).
    Source: https://github.com/upx/upx/blob/v4.2.4/src/packhead.cpp, and ``p_unix.h`` beside it.
    """

    NONE = "none"
    UPX = "upx"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class ElfFacts:
    """Facts of one file. Sizes and offsets in bytes; None means that it could not be told.

    ``machine``, ``elf_type`` and ``os_abi`` are pyelftools' names, as in ``ET_EXEC``.
    ``dynamic_problem`` says why ``needed``, ``rpath`` and ``runpath`` cannot be relied on;
    ``section_problem`` why symbols, debug information and appended data could not be looked for.
    ``bind_now``: all that is bound is bound at the start, so that RELRO can lock it.
    ``guard_reads`` counts where code reads the stack protector's guard, see `verify.stack_guard`.
    ``appended`` counts the bytes after everything that the headers describe.
    """

    path: Path
    size: int
    sha256: str
    machine: str
    bits: int
    little_endian: bool
    os_abi: str
    elf_type: str
    entry: int
    segments: tuple[Segment, ...]
    interpreter: str | None
    dynamic_present: bool
    dynamic_problem: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    is_static_pie: bool
    stack_executable: bool | None
    relro: bool
    bind_now: bool
    guard_reads: int | None
    section_problem: str | None
    symbol_table: bool | None
    debug_sections: tuple[str, ...] | None
    build_paths: tuple[str, ...]
    build_paths_sought: tuple[str, ...]
    packing: Packing
    appended: int | None
    depth: Depth
    """What follows from bytes that were not read is empty or None."""
    protection: Protection | None = None
    """None when only headers were read."""
    about: About | None = None
    """None when nobody asked for it."""
    place: Place = NOWHERE

    @property
    def role(self) -> Role:
        """What it is for: a static program is one whatever its file is called."""
        if self.elf_type == "ET_EXEC" or self.interpreter is not None or self.is_static_pie:
            return Role.PROGRAM
        return Role.LIBRARY if self.elf_type == "ET_DYN" else Role.OBJECT

    @property
    def position(self) -> Position:
        """Where it can be loaded."""
        return find_position(
            self.elf_type,
            interpreter=self.interpreter is not None,
            static_pie=self.is_static_pie,
        )

    @property
    def loads(self) -> tuple[Segment, ...]:
        """The segments that are mapped, empty ones left out."""
        return tuple(s for s in self.segments if s.type == "PT_LOAD" and s.mem_size > 0)


def read_facts(
    path: Path, *, build_paths: tuple[str, ...] = (), depth: Depth = Depth.BYTES
) -> ElfFacts:
    """Read the facts of ``path``, looking for ``build_paths`` beside the usual build directories.

    How deep it looks is ``depth``'s to say: headers alone are read a hundred times as fast.
    Never hangs, and holds no more than about a megabyte of the file at a time. Raises NotElfError
    (also for what is missing, unreadable, too big or no regular file), MalformedElfError, and
    RecipeError for a build path that cannot be looked for.
    """
    pattern = compile_build_paths(build_paths)
    with open_elf(path) as elf:
        segments = elf.segments()
        dynamic = read_dynamic(elf, segments)
        sections = read_sections(elf)
        problem = sections if isinstance(sections, str) else None
        known = () if isinstance(sections, str) else sections
        if any(section.file_end > elf.size for section in known):
            problem = "a section lies outside the file"
        packing = _packing(elf)
        interpreter = _interpreter(elf, segments)
        # UPX puts packed data that is never mapped, then its trailer, after the last segment.
        # That nothing follows the trailer was seen when it was found at the very end.
        appended = 0 if packing is Packing.UPX else None
        if appended is None and not problem:
            ends = [elf.structs.Elf_Ehdr.sizeof(), *(section.file_end for section in known)]
            ends += [s.file_end for s in segments if s.file_size > 0]
            ends += [elf.sections_end] if known else []
            ends += [elf.segments_end] if segments else []
            appended = max(0, elf.size - max(ends))
        stack = [segment.executable for segment in segments if segment.type == "PT_GNU_STACK"]
        header = elf.header
        elf_type = named("ET", header["e_type"])
        # A shared library also lacks an interpreter, yet never the dynamic segment;
        # UPX leaves none, so in a packed file its absence is all there is to see.
        is_static_pie = (
            elf_type == "ET_DYN"
            and interpreter is None
            and not dynamic.needed
            and (dynamic.pie_flag or not dynamic.present)
        )
        searched = depth >= Depth.BYTES
        machine = named("EM", header["e_machine"])
        guard_reads = count_guard_reads(elf, segments, machine) if searched else None
        return ElfFacts(
            path=path,
            size=elf.size,
            sha256=elf.sha256() if searched else "",
            machine=machine,
            bits=elf.structs.elfclass,
            little_endian=elf.structs.little_endian,
            os_abi=named("ELFOSABI", header["e_ident"]["EI_OSABI"]),
            elf_type=elf_type,
            entry=header["e_entry"],
            segments=segments,
            interpreter=interpreter,
            dynamic_present=dynamic.present,
            dynamic_problem=dynamic.problem,
            needed=dynamic.needed,
            rpath=dynamic.rpath,
            runpath=dynamic.runpath,
            is_static_pie=is_static_pie,
            stack_executable=any(stack) if stack else None,
            relro=any(s.type == "PT_GNU_RELRO" for s in segments),
            bind_now=dynamic.bind_now,
            guard_reads=guard_reads,
            section_problem=problem,
            symbol_table=None if problem else any(s.type == "SHT_SYMTAB" for s in known),
            debug_sections=None
            if problem
            else tuple(s.name for s in known if s.name.startswith(_DEBUG)),
            build_paths=find_build_paths(elf, segments, pattern) if searched else (),
            build_paths_sought=build_paths if searched else (),
            packing=packing,
            appended=appended,
            depth=depth,
            protection=read_protection(
                elf,
                segments,
                dynamic,
                known,
                position=find_position(
                    elf_type, interpreter=interpreter is not None, static_pie=is_static_pie
                ),
                guard_reads=guard_reads,
            )
            if searched
            else None,
            about=read_about(elf, segments, known) if depth >= Depth.ALL else None,
        )


def _packing(elf: ElfFile) -> Packing:
    """Return DAMAGED when one of UPX's two marks is there without the other."""
    info = elf.segments_end
    trailer = elf.at(elf.size - _TRAILER_SIZE, _TRAILER_SIZE)
    has_info = elf.at(info + 4, len(_UPX_MAGIC)) == _UPX_MAGIC
    has_trailer = trailer.startswith(_UPX_MAGIC)
    if not has_info and not has_trailer:
        return Packing.NONE
    order: Literal["little", "big"] = "little" if elf.structs.little_endian else "big"
    intact = (
        has_info
        and has_trailer
        and sum(trailer[4:31]) % 251 == trailer[31]
        and int.from_bytes(trailer[_PACK_HEADER_SIZE:], order) == info + _INFO_SIZE
    )
    return Packing.UPX if intact else Packing.DAMAGED


def _interpreter(elf: ElfFile, segments: tuple[Segment, ...]) -> str | None:
    """Return the path in PT_INTERP, empty when it cannot be read: the kernel would still try."""
    for segment in segments:
        if segment.type == "PT_INTERP":
            raw = elf.at(segment.offset, min(segment.file_size, _PATH_MAX))
            return printable(raw.partition(b"\0")[0])
    return None
