"""What is told cheaply is what compression itself would tell."""

import bz2
import lzma
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.hostile_elf import Elf, one_load
from verify.density import BLOCK, DENSE, FREQUENT, is_dense, mostly_dense
from verify.elf_file import open_elf


def huffman(block: bytes) -> float:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_HUFFMAN_ONLY)
    return (len(packer.compress(block)) + len(packer.flush())) / len(block)


COMPRESSED = 0.98
"""What compression leaves of a byte that was compressed before, at least."""


def agrees(block: bytes) -> None:
    """Nothing compressed is passed over, and nothing else is called dense."""
    left = huffman(block)
    assert is_dense(block) <= (left > DENSE)
    assert is_dense(block) >= (left > COMPRESSED)


@settings(deadline=None, max_examples=300)
@given(seed=st.integers(0, 1 << 32), frequent=st.binary(max_size=40), share=st.floats(0, 1))
def test_a_block_is_dense_by_what_compression_leaves_of_it(
    seed: int, frequent: bytes, share: float
) -> None:
    chance = random.Random(seed)
    block = bytearray(chance.randbytes(BLOCK))
    for at in range(BLOCK):
        if frequent and chance.random() < share:
            block[at] = chance.choice(frequent)
    agrees(bytes(block))


@given(share=st.floats(0, 1))
def test_nothing_dense_is_passed_over_for_the_share_of_its_frequent_bytes(share: float) -> None:
    rare = bytes(set(range(256)) - set(FREQUENT))
    count = int(share * BLOCK)
    agrees((FREQUENT * BLOCK)[:count] + (rare * BLOCK)[: BLOCK - count])


@pytest.mark.parametrize(
    "pack", [zlib.compress, lzma.compress, bz2.compress], ids=["zlib", "lzma", "bz2"]
)
def test_what_any_method_packed_is_dense(pack: Callable[[bytes], bytes]) -> None:
    chance = random.Random(2)
    text = b" ".join(b"%d" % chance.randrange(1000) for _ in range(20_000))
    packed = pack(text)[BLOCK // 4 :]
    blocks = [packed[at : at + BLOCK] for at in range(0, len(packed) - BLOCK, BLOCK)]
    assert len(blocks) > 3
    assert all(map(is_dense, blocks))
    assert not any(is_dense(text[at : at + BLOCK]) for at in range(0, len(text), BLOCK))


@pytest.mark.parametrize(
    ("dense", "other", "expected"),
    [
        (4, 0, True),
        (3, 0, False),
        (0, 4, False),
        (3, 3, False),
        (4, 3, True),
        (3, 4, False),
        (300, 299, True),
    ],
)
@pytest.mark.parametrize("dense_first", [True, False])
def test_most_blocks_decide_wherever_they_are(
    tmp_path: Path, dense: int, other: int, expected: bool, dense_first: bool
) -> None:
    noise = random.Random(1).randbytes(BLOCK * dense)
    parts = [noise, b"text" * (BLOCK // 4) * other]
    body = b"".join(parts if dense_first else reversed(parts))
    file = tmp_path / "program"
    file.write_bytes(Elf(segments=one_load, body=body).build())
    with open_elf(file) as elf:
        at = elf.segments_end
        assert mostly_dense(elf, [(at, at + len(body))]) is expected
        middle = at + len(body) // BLOCK // 2 * BLOCK
        assert mostly_dense(elf, [(at, middle), (middle, elf.size)]) is expected
