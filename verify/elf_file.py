"""An ELF file as bounded bytes and header tables; malformed input is fenced here.

pyelftools gives numbers their names, and is trusted with nothing else: its own walks over a file take the file's word
for counts and offsets, and its structures are slow. Layout: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from core.errors import VerdictError
from verify.file_kind import LOOK, name_kind
from verify.layout import IDENT_SIZE, Kind, Layout, Row, identify, os_abi_name
from verify.printable import printable

MAX_FILE_SIZE: Final = 4 * 1024 * 1024 * 1024
# The kernel's own limit, so no file that runs is refused:
# https://elixir.bootlin.com/linux/v6.12/source/fs/binfmt_elf.c (load_elf_phdrs)
MAX_SEGMENT_TABLE: Final = 64 * 1024
_MAGIC: Final = b"\x7fELF"
_LARGEST_HEADER: Final = 64
_KINDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class NotElfError(VerdictError):
    """The path is not a readable regular file that begins as an ELF file does."""


class MissingFileError(NotElfError):
    """There is no such file."""


class UnreadableFileError(NotElfError):
    """Nobody could look: no permission, a failing disk."""


class MalformedElfError(VerdictError):
    """The file begins as ELF, and its headers contradict themselves, the file or the limits."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One program header. Offsets, addresses and sizes in bytes; ``type`` as in ``PT_LOAD``."""

    type: str
    offset: int
    vaddr: int
    file_size: int
    mem_size: int
    align: int
    readable: bool
    writable: bool
    executable: bool

    @property
    def file_end(self) -> int:
        """The first file offset after the segment; no further than its offset when empty."""
        return self.offset + self.file_size

    @property
    def vaddr_end(self) -> int:
        return self.vaddr + self.mem_size

    @property
    def permissions(self) -> str:
        """As in ``r-x``."""
        flags = zip("rwx", (self.readable, self.writable, self.executable), strict=True)
        return "".join(letter if on else "-" for letter, on in flags)


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """An open ELF file, valid inside ``open_elf``."""

    path: Path
    size: int
    header: Mapping[str, Any]
    """The fields of ``Elf_Ehdr`` under their own names, beginning with ``e_``; see `named`."""
    file: BufferedReader
    layout: Layout
    known_machine: bool
    contradictions: tuple[str, ...]
    """In what the header contradicts itself, as `verify.layout` says it."""

    def sha256(self) -> str:
        """Return the digest of all bytes, which are read for it."""
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").hexdigest()

    @property
    def segments_end(self) -> int:
        """The first file offset after the program header table."""
        return self._table_end("ph")

    @property
    def sections_end(self) -> int:
        """The first file offset after the section header table."""
        return self._table_end("sh")

    def _table_end(self, table: str) -> int:
        header = self.header
        end: int = header[f"e_{table}off"] + header[f"e_{table}num"] * header[f"e_{table}entsize"]
        return end

    def at(self, offset: int, size: int) -> bytes:
        """Return the bytes at ``offset``: up to ``size``, fewer where the file ends."""
        if not 0 <= offset < self.size or size <= 0:
            return b""
        self.file.seek(offset)
        return self.file.read(min(size, self.size - offset))

    def entry_size(self, kind: Kind) -> int:
        """Return the size in bytes of one ``kind`` in this file's class."""
        return self.layout.entry_size(kind)

    def rows(self, kind: Kind, table: bytes) -> Iterator[Row]:
        """Yield the whole entries in ``table``."""
        return self.layout.rows(kind, table, named("EM", self.header["e_machine"]))

    def entries(self, kind: Kind, table: bytes) -> list[Row]:
        """Return the whole entries in ``table``."""
        return list(self.rows(kind, table))

    def segments(self) -> tuple[Segment, ...]:
        """Return the program headers in file order; raises MalformedElfError."""
        count, entry_size = self.header["e_phnum"], self.header["e_phentsize"]
        if count == 0:
            return ()
        size = self.entry_size("Elf_Phdr")
        damaged = "the file is damaged; no kernel would start it"
        if self.contradictions:
            damaged = f"it {self.contradictions[0]}"
        if entry_size != size:
            msg = f"{_show(self.path)}: has program headers of {entry_size} B, not {size} B."
            raise MalformedElfError(msg, why=damaged)
        # 0xffff (PN_XNUM) means "more than fit": Linux does not run such files.
        if size * count > MAX_SEGMENT_TABLE:
            msg = f"{_show(self.path)}: claims {count} program headers."
            raise MalformedElfError(msg, why=damaged)
        if self.segments_end > self.size:
            msg = f"{_show(self.path)}: the program header table lies outside the file."
            raise MalformedElfError(msg, why="the file is truncated", next="build or copy it again")
        table = self.at(self.header["e_phoff"], size * count)
        return tuple(
            Segment(
                type=named("PT", row["p_type"]),
                offset=row["p_offset"],
                vaddr=row["p_vaddr"],
                file_size=row["p_filesz"],
                mem_size=row["p_memsz"],
                align=row["p_align"],
                readable=bool(row["p_flags"] & 4),
                writable=bool(row["p_flags"] & 2),
                executable=bool(row["p_flags"] & 1),
            )
            for row in self.entries("Elf_Phdr", table)
        )


@contextmanager
def open_elf(path: Path) -> Iterator[ElfFile]:
    """Open ``path`` and read its ELF header.

    Never blocks (a FIFO is refused, not opened) and never reads more than MAX_FILE_SIZE bytes.
    Raises NotElfError or MalformedElfError.
    """
    with _open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_SIZE:
            msg = f"{_show(path)}: {size} B is more than the {MAX_FILE_SIZE} B that are looked at."
            raise NotElfError(msg, next="check that this is the file you meant")
        try:
            start = file.read(_LARGEST_HEADER)
            if not start.startswith(_MAGIC):
                why = name_kind(start + file.read(LOOK))
                msg = f"{_show(path)}: not an ELF file."
                raise NotElfError(msg, why=why)
            yield _read_header(path, size, file, start)
        except OSError as error:
            msg = f"{_show(path)}: could not be read: {error.strerror}."
            raise UnreadableFileError(msg) from error


@contextmanager
def _open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open ``path`` for reading when it is a regular file.

    Looked at before it is opened: opening a device can do things, opening a FIFO waits.
    Looked at again afterwards: it may have been replaced in between, hence O_NONBLOCK too.
    """
    try:
        mode = path.stat().st_mode
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        number = os.open(path, flags) if stat.S_ISREG(mode) else -1
    except (OSError, ValueError) as error:
        # Python's words for a NUL in a path are not the same in every version.
        reason = error.strerror if isinstance(error, OSError) else "its name has a NUL byte in it"
        msg = f"{_show(path)}: could not be opened: {reason}."
        missing = isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)
        refused = MissingFileError if missing else UnreadableFileError
        raise refused(msg, next="check the path and its permissions") from error
    if number >= 0:
        with open(number, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            mode = os.fstat(number).st_mode
            if stat.S_ISREG(mode):
                yield file
                return
    kind = _KINDS.get(stat.S_IFMT(mode), "special file")
    msg = f"{_show(path)}: is a {kind}, not a regular file."
    raise NotElfError(msg, next="name the file itself")


def _read_header(path: Path, size: int, file: BufferedReader, start: bytes) -> ElfFile:
    identity = identify(start)
    if identity is None:
        msg = f"{_show(path)}: its ELF header says neither class nor byte order of any machine."
        raise MalformedElfError(msg, why="the file is truncated or damaged")
    layout = identity.layout
    if len(start) < layout.header_size:
        msg = f"{_show(path)}: its ELF header has {len(start)} B, not {layout.header_size} B."
        raise MalformedElfError(msg, why="the file is truncated")
    (header,) = layout.rows("Elf_Ehdr", start[IDENT_SIZE : layout.header_size])
    problems = list(identity.contradictions)
    if (said := header["e_ehsize"]) != layout.header_size:
        problems.append(f"says that its header has {said} B, not {layout.header_size} B")
    return ElfFile(
        path=path,
        size=size,
        header={"e_ident": {"EI_OSABI": os_abi_name(start[7])}, **header},
        file=file,
        layout=layout,
        known_machine=identity.known,
        contradictions=tuple(problems),
    )


def file_ranges(segments: Iterable[Segment], size: int) -> list[tuple[int, int]]:
    """Return the ranges (start, end) of a file of ``size`` bytes that segments fill, merged and cut to the file."""
    return merge_ranges((s.offset, min(s.file_end, size)) for s in segments)


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ``ranges`` (start, end) in order, those that touch as one, and none that is empty."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def named(prefix: str, value: object) -> str:
    """Return the name that pyelftools knows for ``value``, else one made of its number."""
    return f"{prefix}_{value:#x}" if isinstance(value, int) else str(value)


def _show(path: Path) -> str:
    return printable(str(path))
