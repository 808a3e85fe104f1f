"""Whose each byte of a program is: the linker's map, the owners of optimised code, and the file itself, put together.

What the three disagree about is never smoothed over: a map that is cut off, of another link, or made to mislead is
refused, and what nobody owns is said to be nobody's.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from records.fill import Fill, Library, ObjectFile, Part, PartKind, Rest, Unowned
from records.link_map import LINKER, LinkMapError, Mark, Piece, read_link_map
from records.link_map import Part as Output
from records.owners import read_owners
from verify.elf_file import ElfFile, open_elf
from verify.sections import Section, read_sections

T = TypeVar("T", Library, ObjectFile, Part, Unowned)

PARTS: Final = 60
"""How many parts of one object are named."""
SMALL: Final = 32
"""Bytes: what has fewer is not named by itself."""

SEVERAL: Final = "(one of several objects)"
"""Where a library is known and its object is not."""

_OPTIMISED = re.compile(r"\.lto(\.[^/]*)?\.o$")
_ARCHIVED = re.compile(r"(.+?)\(([^()]*)\)")
_NEED = re.compile(r"/box/needs/([^/]+)/")
_PREFIX = re.compile(r"^\.(?:text|rodata|data\.rel\.ro|data|tdata|init_array|ctors)\.")
_LITERAL = re.compile(r"\.L\.?str(?:\.\d+)*")
_RENAMED = re.compile(r"(?:\.\d+)+")
_MERGED = re.compile(r"_MergedGlobals(?:\.\d+)*")
_OUTLINED = re.compile(r"OUTLINED_FUNCTION_\d+(?:\.\d+)*")


class Nobody:
    """Names of what nobody owns, and why nobody does."""

    STRINGS: Final = "merged strings"
    NUMBERS: Final = "merged constants"
    MERGED: Final = "merged variables"
    OUTLINED: Final = "outlined code"
    STATICS: Final = "statics"
    OPTIMISED: Final = "optimised together"
    TABLES: Final = "linker's tables"
    HEADERS: Final = "headers"
    PADDING: Final = "padding"

    WHY: Final[Mapping[str, str]] = {
        STRINGS: "texts of all objects: each is kept once, whoever wrote it",
        NUMBERS: "constants of all objects: each is kept once",
        MERGED: "texts and tables without names of their own, put together so that one address reaches them",
        OUTLINED: "instructions that several functions share",
        STATICS: "functions and tables whose names only their own object knew, between two libraries",
        OPTIMISED: "the build left no list of who brought what",
        TABLES: "what the program needs to load itself: relocations, symbols, addresses",
        HEADERS: "of the file, of its segments and of its sections",
        PADDING: "so that what follows begins where it must",
    }


@dataclass(frozen=True, kw_only=True)
class Module:
    """An object that was linked."""

    library: str
    recipe: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Atom:
    """A stretch of the file. ``module`` is None where nobody owns it, for the reason ``nobody``."""

    name: str
    size: int
    kind: PartKind
    module: Module | None = None
    guessed: bool = False
    nobody: str = ""


def unclaimed(_: str) -> str | None:
    """Claim no symbol."""
    return None


def attribute(
    program: Path,
    link_map: bytes,
    owners: bytes | None,
    *,
    file: str,
    own: str,
    needs: Mapping[str, str],
    claim: Callable[[str], str | None] = unclaimed,
) -> tuple[Fill, tuple[Atom, ...]]:
    """Return what fills a program, and all of its stretches.

    ``file`` is its name in `artifacts/files/`, ``own`` its recipe; ``needs`` are the recipes of what it was linked
    with, by the directories' names that the map has; ``claim`` knows the object of some statics by their names alone.
    Raises LinkMapError, and what `verify.elf_file.open_elf` raises.
    """
    outputs, known = read_link_map(link_map), read_owners(owners) if owners is not None else None
    with open_elf(program) as elf:
        sections = read_sections(elf)
        if isinstance(sections, str):
            raise LinkMapError(sections)
        sections = tuple(section for section in sections if section.type != "SHT_NULL")
        atoms = list(_around(elf, sections))
        size, sha256 = elf.size, elf.sha256()
    if [(one.name, one.address, one.size) for one in sections] != [
        (one.name, one.address, one.size) for one in outputs
    ]:
        msg = "it is of another link: its sections are not those of the file"
        raise LinkMapError(msg)
    reader = _Reader(owners=known, own=own, needs=needs, claim=claim)
    for section, output in zip(sections, outputs, strict=True):
        if section.file_end:
            atoms += reader.atoms(section, output)
    found = tuple(atoms)
    return gather(found, file=file, size=size, sha256=sha256), found


def gather(atoms: Iterable[Atom], *, file: str, size: int, sha256: str) -> Fill:
    """Add the stretches of a file up."""
    owned: dict[tuple[str, str], dict[str, list[Atom]]] = {}
    unowned: Counter[str] = Counter()
    for atom in atoms:
        if atom.module:
            library = owned.setdefault((atom.module.library, atom.module.recipe), {})
            library.setdefault(atom.module.name, []).append(atom)
        elif atom.size:
            unowned[atom.nobody] += atom.size
    libraries = [
        Library(
            name=name,
            recipe=recipe,
            size=sum(atom.size for parts in objects.values() for atom in parts),
            objects=_largest(_object(object_, parts) for object_, parts in objects.items()),
        )
        for (name, recipe), objects in owned.items()
    ]
    return Fill(
        file=file,
        sha256=sha256,
        size=size,
        libraries=_largest(libraries),
        unowned=_largest(
            Unowned(name=name, size=bytes_, why=Nobody.WHY[name])
            for name, bytes_ in unowned.items()
        ),
    )


def _object(name: str, atoms: Sequence[Atom]) -> ObjectFile:
    sizes: Counter[tuple[str, PartKind, bool]] = Counter()
    for atom in atoms:
        sizes[atom.name, atom.kind, atom.guessed] += atom.size
    parts = _largest(
        Part(name=part, size=size, kind=kind, guessed=guessed)
        for (part, kind, guessed), size in sizes.items()
    )
    named = tuple(part for part in parts[:PARTS] if part.size >= SMALL)
    rest = parts[len(named) :]
    return ObjectFile(
        name=name,
        size=sum(part.size for part in parts),
        parts=named,
        more=Rest(count=len(rest), size=sum(part.size for part in rest)),
    )


def _largest(things: Iterable[T]) -> tuple[T, ...]:
    return tuple(sorted(things, key=lambda thing: (-thing.size, thing.name)))


def _around(elf: ElfFile, sections: Sequence[Section]) -> Iterator[Atom]:
    """Yield what no section has: headers, and what is between all of it. Raises LinkMapError for what overlaps."""
    header = elf.header
    tables = [
        (0, int(header["e_ehsize"])),
        (int(header["e_phoff"]), elf.segments_end),
        (int(header["e_shoff"]), elf.sections_end),
    ]
    for start, end in tables:
        yield _nobody(Nobody.HEADERS, end - start)
    contents = [(one.offset, one.file_end) for one in sections if one.file_end and one.size]
    at = 0
    for start, end in sorted([*tables, *contents, (elf.size, elf.size)]):
        if start < at or end > elf.size:
            msg = f"what is at {start:#x} of the file lies over something else, or outside"
            raise LinkMapError(msg)
        yield _nobody(Nobody.PADDING, start - at)
        at = end


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Gives the pieces of sections to their owners."""

    owners: Mapping[str, str] | None
    own: str
    needs: Mapping[str, str]
    claim: Callable[[str], str | None]

    def atoms(self, section: Section, output: Output) -> list[Atom]:
        """All of a section, which the file has bytes of. Raises LinkMapError for a hole that no padding explains."""
        kind = _kind(section)
        atoms: list[Atom] = []
        at, end = output.address, output.address + output.size
        for piece in output.pieces:
            gap = piece.address - at
            if not 0 <= gap < max(piece.align, 1) or piece.address + piece.size > end:
                msg = f"what it says of {output.name} at {piece.address:#x} does not follow what is before it"
                raise LinkMapError(msg)
            atoms += [_nobody(Nobody.PADDING, gap), *self._piece(piece, kind)]
            at = piece.address + piece.size
        if at != end:
            msg = f"it lacks what lies at the end of {output.name}: {end - at:,} bytes"
            raise LinkMapError(msg)
        return _guess(atoms)

    def _piece(self, piece: Piece, kind: PartKind) -> Iterator[Atom]:
        if piece.object == LINKER or not piece.object:
            yield _nobody(_made_by_linker(piece.section), piece.size)
            return
        optimised = bool(_OPTIMISED.search(piece.object))
        module = None if optimised else self._module(piece.object)
        for name, size in self._names(piece):
            if optimised and self.owners is None:
                yield replace(_nobody(Nobody.OPTIMISED, size), name=name)
            elif optimised:
                yield self._optimised(name, size, kind)
            else:
                yield Atom(name=name, size=size, kind=kind, module=module)

    def _names(self, piece: Piece) -> Iterator[tuple[str, int]]:
        """Yield the symbols of a piece with their own bytes, and what lies outside of them. Raises LinkMapError."""
        own = plain_name(piece.section)
        at, end = piece.address, piece.address + piece.size

        def turn(mark: Mark) -> tuple[int, int, bool, str]:
            # Of several names for the same function that which somebody is known to own, else the first.
            return mark.address, -mark.size, mark.name not in (self.owners or {}), mark.name

        for mark in sorted(piece.marks, key=turn):
            if not piece.address <= mark.address <= mark.address + mark.size <= end:
                msg = f"its symbol '{mark.name:.80}' lies outside of where it stands"
                raise LinkMapError(msg)
            until = mark.address + mark.size
            if until <= at:
                continue
            if mark.address > at:
                yield own, mark.address - at
            start = max(at, mark.address)
            yield plain_name(mark.name), until - start
            at = until
        if at < end:
            yield own, end - at

    def _optimised(self, name: str, size: int, kind: PartKind) -> Atom:
        atom = Atom(name=name, size=size, kind=kind, nobody=Nobody.STATICS)
        if _OUTLINED.fullmatch(name):
            return replace(atom, nobody=Nobody.OUTLINED)
        if _MERGED.fullmatch(name):
            return replace(atom, nobody=Nobody.MERGED)
        owners = self.owners or {}
        function, dot, rest = name.removeprefix("switch.table.").partition(".")
        if name in owners:
            return replace(atom, module=self._module(owners[name]), nobody="")
        if path := self.claim(name):
            return replace(atom, module=self._module(path), nobody="")
        # `function.table`: what a function keeps for itself. `name.12` is another one of that name.
        if function in owners and (name != function) and not _RENAMED.fullmatch(dot + rest):
            return replace(atom, module=self._module(owners[function]), guessed=True, nobody="")
        return atom

    def _module(self, path: str) -> Module:
        """The object of that path, which has its archive's around it if it is in one."""
        archived = _ARCHIVED.fullmatch(path)
        place = PurePosixPath(archived[1] if archived else path)
        need = _NEED.match(path)
        recipe = self.needs.get(need[1], need[1]) if need else ""
        if archived:
            return Module(library=place.name, recipe=recipe, name=archived[2])
        return Module(library=recipe or self.own, recipe=recipe, name=place.name)


def plain_name(name: str) -> str:
    """Return a symbol's or a section's name as people know it."""
    name = _PREFIX.sub("", name)
    if _LITERAL.fullmatch(name):
        return "(text)"
    return name.removeprefix(".L").removeprefix("__const.")


def _guess(atoms: Sequence[Atom]) -> list[Atom]:
    """Give statics of optimised code to whom both neighbours are of: the optimiser keeps each module's together."""
    befores, afters = list(_nearest(atoms)), [*_nearest(atoms[::-1])][::-1]
    return [
        _between(atom, before, after) if atom.nobody == Nobody.STATICS else atom
        for atom, before, after in zip(atoms, befores, afters, strict=True)
    ]


def _nearest(atoms: Iterable[Atom]) -> Iterator[Module | None]:
    """Yield for each the module of the last one that had one."""
    last = None
    for atom in atoms:
        last = atom.module or last
        yield last


def _between(atom: Atom, before: Module | None, after: Module | None) -> Atom:
    if before is None or after is None:
        return atom
    if before == after:
        return replace(atom, module=before, guessed=True, nobody="")
    if (before.library, before.recipe) == (after.library, after.recipe):
        return replace(atom, module=replace(before, name=SEVERAL), guessed=True, nobody="")
    return atom


def _nobody(name: str, size: int) -> Atom:
    return Atom(name=name, size=size, kind=PartKind.CONSTANTS, nobody=name)


def _made_by_linker(section: str) -> str:
    if ".str" in section:
        return Nobody.STRINGS
    return Nobody.NUMBERS if section.startswith(".rodata") else Nobody.TABLES


def _kind(section: Section) -> PartKind:
    if section.executable:
        return PartKind.CODE
    changes = section.name.startswith((".data", ".tdata")) and section.name != ".data.rel.ro"
    return PartKind.DATA if changes else PartKind.CONSTANTS
