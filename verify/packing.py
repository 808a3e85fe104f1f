"""What is packed: by the marks that UPX leaves, and, where somebody wiped them, by its shape.

A packed file is a small program that makes another one in memory. What the headers say is then true of the small
program alone, and nothing they say can make the other one "static". So a file that has the shape of a packed one, and
not the marks by which it can be unpacked, is refused: nobody can look inside.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

from verify.density import mostly_dense
from verify.elf_file import ElfFile, Segment, file_ranges
from verify.sections import Section

_UPX_MAGIC: Final = b"UPX!"
_INFO_SIZE: Final = 12
_PACK_HEADER_SIZE: Final = 32
TRAILER_SIZE: Final = _PACK_HEADER_SIZE + 4
"""Bytes at the end of a file that UPX packed: its pack header, and where the packed data begins."""
_PAGE: Final = 4096


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
    UNKNOWN = "unknown"
    """It has none of the marks, and the shape of what is packed."""


@dataclass(frozen=True, kw_only=True)
class PackHeader:
    """What UPX says of how it packed: its numbers for the method, the level (1 to 9, 10: best) and the filter."""

    method: int
    level: int
    filter: int


def read_pack_header(trailer: bytes) -> PackHeader | None:
    """Return what the pack header at the end of a file says; None when there is none."""
    header = trailer[-TRAILER_SIZE:]
    if len(header) < TRAILER_SIZE or not header.startswith(_UPX_MAGIC):
        return None
    return PackHeader(method=header[6], level=header[7], filter=header[28])


def read_packing(
    elf: ElfFile,
    segments: tuple[Segment, ...],
    sections: Iterable[Section],
    code: int | None,
    *,
    weigh: bool,
) -> tuple[Packing, tuple[str, ...]]:
    """Return how the file is packed and, when UNKNOWN, what shows it; ``code`` is where it starts.

    Only with ``weigh`` the bytes themselves are looked at, which takes as long as all else together.
    """
    packing = _marks(elf)
    if packing is not Packing.NONE:
        return packing, ()
    loads = tuple(s for s in segments if s.type == "PT_LOAD" and s.mem_size > 0)
    look = Look(elf=elf, loads=loads, sections=tuple(sections), code=code, weigh=weigh)
    shape = next((shape for shape in SHAPES if all(sign.check(look) for sign in shape)), ())
    signs = tuple(sign.meaning for sign in shape)
    return (Packing.UNKNOWN, signs) if signs else (Packing.NONE, ())


def _marks(elf: ElfFile) -> Packing:
    """Return DAMAGED when one of UPX's two marks is there without the other."""
    info = elf.segments_end
    trailer = elf.at(elf.size - TRAILER_SIZE, TRAILER_SIZE)
    has_info = elf.at(info + 4, len(_UPX_MAGIC)) == _UPX_MAGIC
    has_trailer = trailer.startswith(_UPX_MAGIC)
    if not has_info and not has_trailer:
        return Packing.NONE
    order: Literal["little", "big"] = "little" if elf.layout.little_endian else "big"
    intact = (
        has_info
        and has_trailer
        and sum(trailer[4:31]) % 251 == trailer[31]
        and int.from_bytes(trailer[_PACK_HEADER_SIZE:], order) == info + _INFO_SIZE
    )
    return Packing.UPX if intact else Packing.DAMAGED


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the signs look at."""

    elf: ElfFile
    loads: tuple[Segment, ...]
    sections: tuple[Section, ...]
    code: int | None
    weigh: bool

    @cached_property
    def code_segment(self) -> Segment | None:
        """The segment in which the program starts."""
        if self.code is None:
            return None
        starts = (s for s in self.loads if s.executable and s.vaddr <= self.code < s.vaddr_end)
        return next(starts, None)

    def mostly_dense(self, *, code: bool) -> bool:
        """Tell whether most of what is loaded, or of what is executable, is as dense as compressed data."""
        loads = [s for s in self.loads if s.executable] if code else self.loads
        return self.weigh and mostly_dense(self.elf, file_ranges(loads, self.elf.size))


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Something that linkers do not do and packers do; ``meaning`` is said to whoever asks."""

    meaning: str
    check: Callable[[Look], bool]


def _twice(look: Look) -> bool:
    spans = sorted((s.offset, s.file_end) for s in look.loads if s.file_size > 0)
    return any(after[0] < before[1] for before, after in pairwise(spans))


def _room_below(look: Look) -> bool:
    code = look.code_segment
    return code is not None and any(
        s.mem_size - s.file_size >= _PAGE and s.vaddr < code.vaddr for s in look.loads
    )


def _undescribed(look: Look) -> bool:
    return look.code is not None and not any(
        s.executable and s.address <= look.code < s.address + s.size for s in look.sections
    )


def _growing_code(look: Look) -> bool:
    return any(s.executable and s.mem_size - s.file_size >= _PAGE for s in look.loads)


TWICE: Final = Sign(meaning="two segments are made of the same bytes of the file", check=_twice)
ROOM_BELOW: Final = Sign(
    meaning="memory that the file does not fill lies below the code", check=_room_below
)
UNDESCRIBED: Final = Sign(meaning="no section describes the code", check=_undescribed)
GROWING_CODE: Final = Sign(
    meaning="there is executable memory that the file does not fill", check=_growing_code
)
DENSE_CODE: Final = Sign(
    meaning="most of the code is as dense as compressed data",
    check=lambda look: look.mostly_dense(code=True),
)
DENSE: Final = Sign(
    meaning="most of what is loaded is as dense as compressed data",
    check=lambda look: look.mostly_dense(code=False),
)

SHAPES: Final[tuple[tuple[Sign, ...], ...]] = (
    # UPX 4: the file's start is mapped as room for what will be unpacked, and once more as code behind it.
    (TWICE,),
    # What is unpacked there will be run, and no linker leaves code out of the file.
    (GROWING_CODE,),
    # Linkers put unfilled memory last. A tool that moves code behind it (BOLT, patchelf) keeps the sections.
    (ROOM_BELOW, UNDESCRIBED),
    # UPX 3, and others that carry what they unpack in the segment of their code.
    (DENSE_CODE,),
    # An unpacker with its load beside it. Programs that embed an archive have more code and text than archive.
    (DENSE,),
)
"""What makes a packed file, cheapest first: any of these, with all of its signs."""
