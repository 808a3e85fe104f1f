"""Layers as they are written down: the same bytes everywhere, and nothing that could burst its reader."""

import gzip
import hashlib
import random
import tracemalloc

import pytest
import zstandard

from core.errors import PublishError
from publish.oci.compression import Compression

PACKED = (Compression.GZIP, Compression.ZSTD)


def words(size: int) -> bytes:
    """A text that is the same with every Python: half of it repeats itself."""
    chance = random.Random(4711)
    parts = [chance.randbytes(chance.randrange(3, 40)) for _ in range(500)]
    text = b"".join(parts[int(chance.random() ** 2 * len(parts))] for _ in range(size // 20))
    return (text * 2)[:size]


TEXT = words(300_000)
TEXT_SUM = "c5798122ec5a94fd58467d2b09fcab5bb18a4f375932073c076e73406e686dcf"
SUMS = {
    Compression.GZIP: "8eead3ebd6229814c940b5ead51650ce3de7d299ea6ac6bd0d327fb581bccf44",
    Compression.ZSTD: "24ffe4ca29e1aa8c634bedcaff02565614a94d7dc17593621339d7f4319ecf38",
}


def test_the_text_is_the_one_that_was_measured() -> None:
    assert hashlib.sha256(TEXT).hexdigest() == TEXT_SUM


@pytest.mark.parametrize("how", PACKED)
def test_the_bytes_are_those_of_every_other_machine(how: Compression) -> None:
    """What they were with the pinned wheels: with another release of either every image gets another digest."""
    assert hashlib.sha256(how.pack(TEXT)).hexdigest() == SUMS[how]


def test_gzip_names_no_time_no_file_and_no_system() -> None:
    """https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1."""
    packed = Compression.GZIP.pack(TEXT)
    assert (packed[3], packed[4:8], packed[9]) == (0, bytes(4), 255)


def test_others_read_what_we_write() -> None:
    assert gzip.decompress(Compression.GZIP.pack(TEXT)) == TEXT
    assert zstandard.decompress(Compression.ZSTD.pack(TEXT)) == TEXT


@pytest.mark.parametrize("how", Compression)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, bytes(1 << 20)], ids=len)
def test_what_is_packed_comes_back(how: Compression, data: bytes) -> None:
    assert how.unpack(how.pack(data)) == data
    assert Compression.of(how.media_type) is how


@pytest.mark.parametrize("how", PACKED)
def test_what_is_cut_off_or_goes_on_is_refused(how: Compression) -> None:
    whole = how.pack(TEXT)
    for size in (0, 1, 5, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        with pytest.raises(PublishError, match="damaged"):
            how.unpack(whole[:size])
    for tail in (b"\0", b"tail", whole):
        with pytest.raises(PublishError, match="follow the end"):
            how.unpack(whole + tail)


@pytest.mark.parametrize("how", PACKED)
def test_a_layer_of_another_kind_is_refused(how: Compression) -> None:
    (other,) = set(PACKED) - {how}
    for data in (other.pack(TEXT), b"no layer at all", bytes(512)):
        with pytest.raises(PublishError, match="damaged"):
            how.unpack(data)
    with pytest.raises(PublishError, match="of another kind"):
        Compression.of("application/vnd.docker.image.rootfs.diff.tar.gzip")


@pytest.mark.parametrize("how", Compression)
def test_no_more_is_taken_than_may_be(how: Compression) -> None:
    packed = how.pack(TEXT)
    assert how.unpack(packed, limit=len(TEXT)) == TEXT
    with pytest.raises(PublishError, match="more than 299,999 bytes"):
        how.unpack(packed, limit=len(TEXT) - 1)


@pytest.mark.parametrize("how", PACKED)
def test_a_bomb_is_noticed_before_it_has_gone_off(how: Compression) -> None:
    bomb = how.pack(bytes(256 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(PublishError, match="more than 1,048,576 bytes"):
            how.unpack(bomb, limit=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 128 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_wants_a_gigabyte_kept_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    state = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = state.compress(TEXT) + state.flush()
    with pytest.raises(PublishError, match="damaged"):
        Compression.ZSTD.unpack(frame)
