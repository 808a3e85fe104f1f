"""How a layer is written down: gzip, zstd or as it is, the same bytes on every machine and with every Python.

Both compressors come inside hash-locked wheels, run in one thread and write neither a time nor a name. gzip is
libdeflate's: it counts in whole numbers alone, so no processor changes its bytes; the zlib of a machine or a Python
would. Every client reads gzip.

https://github.com/opencontainers/image-spec/blob/main/layer.md#zstd-media-types
"""

import zlib
from enum import StrEnum
from typing import assert_never

from core.errors import PublishError

TAR = "application/vnd.oci.image.layer.v1.tar"
GZIP_LEVEL = 12
ZSTD_LEVEL = 19
WINDOW = 1 << 27
"""Bytes that a zstd frame may have its reader keep: the zstd program's own limit."""
LARGEST_LAYER = 1 << 30
"""Bytes of a layer, unpacked."""
_PIECE = 1 << 10
TOO_EARLY = "it ends too early"


class Compression(StrEnum):
    """What becomes of a layer's tar."""

    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"

    @property
    def media_type(self) -> str:
        """Of a layer that is written so."""
        return TAR if self is Compression.NONE else f"{TAR}+{self.value}"

    @classmethod
    def of(cls, media_type: str) -> "Compression":
        """Return how a layer of this type is written. Raises PublishError when it is no layer that we know."""
        for one in cls:
            if one.media_type == media_type:
                return one
        msg = f"has a layer of another kind: {media_type[:80]}"
        raise PublishError(msg)

    def pack(self, data: bytes) -> bytes:
        """Return a layer's tar as it is written down."""
        match self:
            case Compression.GZIP:
                import deflate  # noqa: PLC0415 - only who makes images needs it

                return bytes(deflate.gzip_compress(data, GZIP_LEVEL))
            case Compression.ZSTD:
                import zstandard  # noqa: PLC0415

                return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data)
            case Compression.NONE:
                return data
            case _:
                assert_never(self)

    def unpack(self, data: bytes, *, limit: int = LARGEST_LAYER) -> bytes:
        """Return the tar. Raises PublishError when ``data`` is damaged, has a tail, or holds over ``limit`` bytes."""
        match self:
            case Compression.GZIP:
                found, tail = _gunzip(data, limit)
            case Compression.ZSTD:
                found, tail = _unzstd(data, limit)
            case Compression.NONE:
                found, tail = data, b""
            case _:
                assert_never(self)
        if len(found) > limit:
            msg = f"a layer unpacks to more than {limit:,} bytes"
            raise PublishError(msg)
        if tail:
            msg = f"{len(tail)} bytes follow the end of a layer"
            raise PublishError(msg)
        return found


def _gunzip(data: bytes, limit: int) -> tuple[bytes, bytes]:
    state = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        found = state.decompress(data, limit + 1)
    except zlib.error as error:
        raise _damaged(error) from error
    if len(found) <= limit and not state.eof:
        raise _damaged(TOO_EARLY)
    return found, state.unused_data


def _unzstd(data: bytes, limit: int) -> tuple[bytes, bytes]:
    import zstandard  # noqa: PLC0415

    found = bytearray()
    state = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    try:
        # In pieces: what one piece unpacks to is bounded, so a bomb is noticed before it has gone off.
        for offset in range(0, len(data), _PIECE):
            if state.eof:
                return bytes(found), state.unused_data + data[offset:]
            found += state.decompress(data[offset : offset + _PIECE])
            if len(found) > limit:
                return bytes(found), b""
    except zstandard.ZstdError as error:
        raise _damaged(error) from error
    if not state.eof:
        raise _damaged(TOO_EARLY)
    return bytes(found), state.unused_data


def _damaged(why: object) -> PublishError:
    msg = f"a layer is damaged: {why!s:.100}"
    return PublishError(msg)
