"""One digest over what the kernel maps: compares a file with its packed and unpacked copy."""

import hashlib
import struct
from pathlib import Path
from typing import Final

from verify.elf_file import ElfFile, MalformedElfError, Segment, named, open_elf
from verify.printable import printable

MAX_TIMES: Final = 2
_CHUNK: Final = 1024 * 1024
# Offset and size of e_shoff; then of e_shentsize, e_shnum and e_shstrndx, which are neighbours.
_SECTION_FIELDS: Final = {32: ((32, 4), (46, 6)), 64: ((40, 8), (58, 6))}


def loadable_bytes_digest(path: Path) -> str:
    """Return a sha256, in hex, over the identity and the PT_LOAD segments of ``path``.

    Identity is class, machine, type and entry point. Each segment counts with its address, sizes,
    permissions and contents. The first one usually maps the ELF header too; in it the four fields
    that locate section headers count as zero, since nothing at run time reads them, and an unpacker
    need not bring section headers back to where they were.
    Raises NotElfError, and MalformedElfError when there is nothing to load or it is not all there.
    """
    digest = hashlib.sha256()
    with open_elf(path) as elf:
        raw = elf.header
        what = (named("EM", raw["e_machine"]), named("ET", raw["e_type"]), raw["e_entry"])
        loads = [segment for segment in elf.segments() if segment.type == "PT_LOAD"]
        if not loads:
            msg = f"{printable(str(path))}: has nothing to load."
            raise MalformedElfError(msg)
        # Many segments may claim the same bytes; those of a linker share the pages between two at most.
        if sum(segment.file_size for segment in loads) > MAX_TIMES * elf.size:
            msg = f"{printable(str(path))}: loads more than {MAX_TIMES} times its {elf.size} B."
            raise MalformedElfError(
                msg, why="its segments overlap in the file; no linker does that"
            )
        digest.update("{} {} {} {}\n".format(elf.layout.bits, *what).encode())
        for segment in loads:
            if segment.file_end > elf.size:
                msg = f"{printable(str(path))}: a segment lies outside the file."
                raise MalformedElfError(msg, why="the file is truncated")
            permissions = segment.readable * 4 + segment.writable * 2 + segment.executable
            numbers = (segment.vaddr, segment.mem_size, segment.file_size, permissions)
            digest.update(struct.pack("<4Q", *numbers))
            for offset in range(segment.offset, segment.file_end, _CHUNK):
                digest.update(_contents(elf, segment, offset))
    return digest.hexdigest()


def _contents(elf: ElfFile, segment: Segment, offset: int) -> bytes:
    """Return the next chunk of ``segment`` with the section fields of the ELF header zeroed."""
    chunk = bytearray(elf.at(offset, min(_CHUNK, segment.file_end - offset)))
    for field, width in _SECTION_FIELDS[elf.layout.bits]:
        for position in range(field - offset, field - offset + width):
            if 0 <= position < len(chunk):
                chunk[position] = 0
    return bytes(chunk)
