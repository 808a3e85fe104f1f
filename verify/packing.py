"""Whether a file was packed by UPX, seen where UPX itself looks.

UPX writes ``l_info`` (checksum, "UPX!", …: 12 bytes) right after the program headers, and at the
end of the file a 32-byte pack header ("UPX!", …, checksum) and the 4-byte offset of the packed
data. Without the latter the file still runs, and ``upx -d`` refuses it: that is what stripping
after packing does (https://github.com/upx/upx/issues/712).
Source: https://github.com/upx/upx/blob/v4.2.4/src/packhead.cpp, and ``p_unix.h`` beside it.
"""

from enum import StrEnum
from typing import Final, Literal

from verify.elf_file import ElfFile

_MAGIC: Final = b"UPX!"
_INFO_SIZE: Final = 12
_PACK_HEADER_SIZE: Final = 32
_TRAILER_SIZE: Final = _PACK_HEADER_SIZE + 4


class Packing(StrEnum):
    """How a file is packed."""

    NONE = "none"
    UPX = "upx"
    DAMAGED = "damaged"


def detect_packing(elf: ElfFile) -> Packing:
    """Return DAMAGED when one of UPX's two marks is there without the other."""
    info = elf.header.segments_end
    trailer = elf.at(elf.size - _TRAILER_SIZE, _TRAILER_SIZE)
    has_info = elf.at(info + 4, len(_MAGIC)) == _MAGIC
    has_trailer = trailer.startswith(_MAGIC)
    if not has_info and not has_trailer:
        return Packing.NONE
    order: Literal["little", "big"] = "little" if elf.header.little_endian else "big"
    intact = (
        has_info
        and has_trailer
        and sum(trailer[4:31]) % 251 == trailer[31]
        and int.from_bytes(trailer[_PACK_HEADER_SIZE:], order) == info + _INFO_SIZE
    )
    return Packing.UPX if intact else Packing.DAMAGED
