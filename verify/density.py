"""Whether bytes are as dense as compressed ones, told for much less than it costs to compress them."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from verify.elf_file import ElfFile

BLOCK: Final = 4096
_WINDOW: Final = 256 * BLOCK
_FEWEST: Final = 4
DENSE: Final = 0.95
"""Of a byte: 7.6 bits. Text and machine code stay below 6.8, the compressed instructions of RISC-V below 7.4; what is
compressed or encrypted has 7.9."""
FREQUENT: Final = b"\0\xff\1H\4 \2\3\x89\x08\x10\xc0\x0f\5\xe8$t\xe5eA\x8b\xa0\xe3@"
"""24 bytes that programs and texts have more of than others."""
_FREQUENT: Final = bytes(byte in FREQUENT for byte in range(256))
_MOST: Final = 0.35
"""What is compressed has a tenth of these. With more than this there are 7.64 bits in a byte at most, were all others
spread evenly: with f of them, f log2(24 / f) + (1 - f) log2(232 / (1 - f))."""


def mostly_dense(elf: ElfFile, ranges: Iterable[tuple[int, int]]) -> bool:
    """Tell whether most whole blocks of ``ranges`` (file offsets) are dense; where there are few, none is."""
    ranges = list(ranges)
    count = sum((end - start) // BLOCK for start, end in ranges)
    if count < _FEWEST:
        return False
    dense = other = 0
    for block_is_dense in _blocks(elf, ranges):
        if block_is_dense:
            dense += 1
        else:
            other += 1
        if max(dense, other) * 2 > count:
            break
    return dense > other


def is_dense(block: bytes) -> bool:
    """Tell whether little is saved when the frequent bytes of a block are written shorter: its order-0 entropy.

    Machine code, most of what there is, is told by its frequent bytes alone.
    """
    return _is_dense(block, block.translate(_FREQUENT))


def _is_dense(block: bytes, frequent: bytes) -> bool:
    # A thrice as quick way to count the ones as bytes.count.
    if int.from_bytes(frequent, "little").bit_count() > _MOST * len(block):
        return False
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_HUFFMAN_ONLY)
    return len(packer.compress(block)) + len(packer.flush()) > DENSE * len(block)


def _blocks(elf: ElfFile, ranges: Iterable[tuple[int, int]]) -> Iterator[bool]:
    for start, end in ranges:
        for position in range(start, end, _WINDOW):
            window = elf.at(position, min(_WINDOW, end - position))
            frequent = window.translate(_FREQUENT)  # of all at once: that is what makes it fast
            for at in range(0, len(window) - BLOCK + 1, BLOCK):
                stop = at + BLOCK
                yield _is_dense(window[at:stop], frequent[at:stop])
