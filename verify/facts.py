"""What is true of an ELF file, read once and judged elsewhere.

All that must hold after packing comes from program headers and the dynamic segment: section headers
may be gone, and then "no .dynamic section" says nothing about being static.
"""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from verify.about import About, read_about
from verify.build_paths import compile_build_paths, find_build_paths
from verify.coverage import Coverage, Gap, read_coverage
from verify.dynamic import read_dynamic
from verify.dynamic_symbols import needs_loader
from verify.elf_file import (
    ElfFile,
    MalformedElfError,
    NotElfError,
    Segment,
    file_ranges,
    named,
    open_elf,
)
from verify.entry import code_address
from verify.packing import Packing, read_packing
from verify.place import NOWHERE, Place, Role
from verify.printable import printable
from verify.protection import Position, Protection, find_position, read_protection
from verify.sections import DEBUG_NAMES, read_sections
from verify.stack_guard import count_guard_reads

__all__ = ["ElfFacts", "MalformedElfError", "NotElfError", "Packing", "Segment", "read_facts"]

_PATH_MAX: Final = 4096


class Depth(IntEnum):
    """How much of a file is read."""

    HEADERS = 0
    """What the kernel and a loader read of it: some kilobytes."""
    SHAPE = 1
    """Also how dense its bytes are: whether it is packed."""
    BYTES = 2
    """Also what only a search through all of it can tell."""
    ALL = 3
    """Also what no rule needs."""


@dataclass(frozen=True, kw_only=True)
class ElfFacts:
    """Facts of one file. Sizes and offsets in bytes; None means that it could not be told.

    ``machine``, ``elf_type`` and ``os_abi`` are pyelftools' names, as in ``ET_EXEC``.
    ``dynamic_problem`` says why ``needed``, ``rpath`` and ``runpath`` cannot be relied on;
    ``section_problem`` why symbols, debug information and appended data could not be looked for.
    ``bind_now``: all that is bound is bound at the start, so that RELRO can lock it.
    ``guard_reads`` counts where code reads the stack protector's guard, see `verify.stack_guard`.
    ``known_machine``: a Linux runs such machines; ``contradictions``: in what the header contradicts itself.
    ``code`` is where the program starts: its entry point or, for PowerPC64's first ABI, where that points.
    ``packing_signs`` says what shows that a file is packed which has no marks of it.
    ``appended`` counts the bytes after everything that the headers describe, zero when all of them are zero;
    ``gaps`` are those before it that are not accounted for, see `verify.coverage`.
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
    known_machine: bool
    contradictions: tuple[str, ...]
    code: int | None
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
    packing_signs: tuple[str, ...]
    appended: int | None
    gaps: tuple[Gap, ...] | None
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
        interpreter = _interpreter(elf, segments)
        code = code_address(elf, segments)
        searched = depth >= Depth.BYTES
        # All that is read of a file with a loader is what it says: it is no static one, packed or not.
        alone = interpreter is None and not dynamic.needed
        weigh = alone and depth >= Depth.SHAPE
        packing, signs = read_packing(elf, segments, known, code, weigh=weigh)
        # UPX puts packed data that is never mapped, then its trailer, after the last segment. All of it is
        # accounted for when the unpacked file is packed again, and the same bytes come out.
        coverage = (
            Coverage(gaps=(), appended=0, unloaded=())
            if packing is Packing.UPX
            else None
            if problem or not searched
            else read_coverage(elf, segments, known)
        )
        loaded = file_ranges((s for s in segments if s.type == "PT_LOAD"), elf.size)
        # In packed bytes there are pieces of paths, and the whole ones in what is unpacked.
        packed = packing is Packing.UPX
        sought = [] if packed else [*loaded, *(coverage.unloaded if coverage else ())]
        stack = [segment.executable for segment in segments if segment.type == "PT_GNU_STACK"]
        header = elf.header
        elf_type = named("ET", header["e_type"])
        # A shared library also lacks an interpreter, yet never the dynamic segment;
        # UPX leaves none, so in a packed file its absence is all there is to see.
        is_static_pie = (
            elf_type == "ET_DYN"
            and interpreter is None
            and not dynamic.needed
            and (
                dynamic.pie_flag
                or not dynamic.present
                or not needs_loader(elf, segments, dynamic.tags)
            )
        )
        machine = named("EM", header["e_machine"])
        guard_reads = count_guard_reads(elf, segments, machine) if searched else None
        return ElfFacts(
            path=path,
            size=elf.size,
            sha256=elf.sha256() if searched else "",
            machine=machine,
            bits=elf.layout.bits,
            little_endian=elf.layout.little_endian,
            os_abi=named("ELFOSABI", header["e_ident"]["EI_OSABI"]),
            elf_type=elf_type,
            entry=header["e_entry"],
            known_machine=elf.known_machine,
            contradictions=elf.contradictions,
            code=code,
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
            else tuple(s.name for s in known if s.name.startswith(DEBUG_NAMES)),
            build_paths=find_build_paths(elf, sought, pattern) if searched else (),
            build_paths_sought=build_paths if searched else (),
            packing=packing,
            packing_signs=signs,
            appended=coverage.appended if coverage else None,
            gaps=coverage.gaps if coverage else None,
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


def _interpreter(elf: ElfFile, segments: tuple[Segment, ...]) -> str | None:
    """Return the path in PT_INTERP, empty when it cannot be read: the kernel would still try."""
    for segment in segments:
        if segment.type == "PT_INTERP":
            raw = elf.at(segment.offset, min(segment.file_size, _PATH_MAX))
            return printable(raw.partition(b"\0")[0])
    return None
