"""What a file without an interpreter leaves to somebody else: a program is whole, a library waits to be loaded.

Symbols are counted by their hash table, as a loader does: the dynamic segment has no field for their number.
https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html, and for DT_GNU_HASH
https://sourceware.org/legacy-ml/binutils/2006-10/msg00377.html
"""

from collections.abc import Mapping
from typing import Final, Literal

from verify.elf_file import ElfFile, Segment

MAX_SYMBOLS: Final = 65536
_UNDEFINED: Final = 0
_LOCAL: Final = 0
_WEAK: Final = 2
_WIDE_HASHES: Final = {"EM_ALPHA", "EM_S390"}
"""Machines whose 64-bit files have a DT_HASH of 8-byte words."""


def needs_loader(elf: ElfFile, segments: tuple[Segment, ...], tags: Mapping[str, int]) -> bool:
    """Tell whether a dynamic segment with these ``tags`` is one that a loader must read.

    It is a library's when it names it, or gives symbols to others and is not marked as an executable (DT_DEBUG); and a
    loader is needed for symbols that are not there, unless they are weak. What cannot be told needs one.
    """
    if "DT_SONAME" in tags:
        return True
    if "DT_SYMTAB" not in tags:
        return False
    order: Literal["little", "big"] = "little" if elf.layout.little_endian else "big"
    symbols, exports = _hashed(elf, segments, tags, order)
    size, info, index = (24, 4, 6) if elf.layout.bits == 64 else (16, 12, 14)
    table = _at(elf, segments, tags["DT_SYMTAB"], size * symbols) if symbols else b""
    if symbols is None or len(table) < size * symbols:
        return True
    for at in range(size, len(table), size):
        bind = table[at + info] >> 4
        where = int.from_bytes(table[at + index : at + index + 2], order)
        if where == _UNDEFINED and bind not in {_LOCAL, _WEAK}:
            return True
        exports = exports or (where != _UNDEFINED and bind != _LOCAL)
    return exports and "DT_DEBUG" not in tags


def _hashed(
    elf: ElfFile,
    segments: tuple[Segment, ...],
    tags: Mapping[str, int],
    order: Literal["little", "big"],
) -> tuple[int | None, bool]:
    """Return how many symbols there are, or stand before the first that others may use; and whether one does."""

    def numbers(address: int, count: int, width: int) -> list[int]:
        content = _at(elf, segments, address, count * width)
        whole = range(0, len(content) - width + 1, width)
        return [int.from_bytes(content[at : at + width], order) for at in whole]

    if "DT_HASH" in tags:
        wide = elf.layout.bits == 64 and elf.header["e_machine"] in _WIDE_HASHES
        sizes = numbers(tags["DT_HASH"], 2, 8 if wide else 4)
        return (sizes[1] if len(sizes) == 2 and sizes[1] <= MAX_SYMBOLS else None), False
    if "DT_GNU_HASH" in tags:
        sizes = numbers(tags["DT_GNU_HASH"], 4, 4)
        if len(sizes) == 4 and max(sizes[:3]) <= MAX_SYMBOLS:
            buckets, first, bloom, _ = sizes
            at = tags["DT_GNU_HASH"] + 16 + bloom * elf.layout.bits // 8
            return first, any(numbers(at, buckets, 4))
    return None, False


def _at(elf: ElfFile, segments: tuple[Segment, ...], address: int, size: int) -> bytes:
    """Return the bytes that are loaded at ``address``: up to ``size``, fewer where the segment ends."""
    for segment in segments:
        inside = address - segment.vaddr
        if segment.type == "PT_LOAD" and 0 <= inside < segment.file_size:
            return elf.at(segment.offset + inside, min(size, segment.file_size - inside))
    return b""
