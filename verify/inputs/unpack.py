"""Bytes out of gzip and zstd, read once from front to end, with a bound on how many."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import zstandard

from verify.inputs.limits import InputError

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\0"
_CHUNK: Final = 1 << 20
_LARGEST_WINDOW: Final = 128 << 20
"""Bytes of memory that a zstd frame may ask for: what ``zstd -d`` takes without being asked."""


@dataclass(kw_only=True)
class Budget:
    """How many bytes may still be unpacked."""

    left: int

    def spend(self, size: int) -> None:
        """Raises InputError when it is used up."""
        self.left -= size
        if self.left < 0:
            msg = "it unpacks to more bytes than are looked at"
            raise InputError(msg, why="it is a bomb, or not what it is thought to be")


class Stream(io.RawIOBase):
    """A stream that only goes on: `tarfile` may read it, and skip, in memory that its limits bound."""

    def __init__(self, source: BinaryIO, budget: Budget, *, most: int) -> None:
        super().__init__()
        self._source = source
        self._budget = budget
        self._most = most
        self._position = 0
        self._held: int | None = None

    @contextmanager
    def header(self) -> Iterator[None]:
        """Bound all that is read in this block together: `tarfile` keeps it, and newer ones ask for it in parts."""
        self._held = 0
        try:
            yield
        finally:
            self._held = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, fewer only at the end. Raises InputError for more than ``most``, also in a header."""
        held = size if self._held is None else self._held + size
        if size < 0 or held > self._most:
            msg = f"a header of it claims {held if size >= 0 else size} bytes"
            raise InputError(msg, why="it is damaged, or made to exhaust memory")
        if self._held is not None:
            self._held = held
        return self._next(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on to ``offset``. Raises InputError for a way back, which only an entry of negative size asks for."""
        if whence != io.SEEK_SET or offset < self._position:
            msg = "an entry of it claims an impossible size"
            raise InputError(msg, why="it is damaged, or made to be read for ever")
        while self._position < offset:
            if not self._next(min(self._most, offset - self._position)):
                break
        return self._position

    def _next(self, size: int) -> bytes:
        data = self._take(size)
        self._position += len(data)
        return data

    def _take(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            part = self._source.read(size)
            if not part:
                break
            self._budget.spend(len(part))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


@contextmanager
def unpacked(source: BinaryIO, budget: Budget, *, most: int = _CHUNK) -> Iterator[Stream]:
    """Read ``source`` from its begin, through gzip or zstd if it is packed, as its first bytes say.

    Raises InputError when it is damaged, packed otherwise, or ``budget`` is used up.
    """
    source.seek(0)
    start = source.read(6)
    source.seek(0)
    try:
        if start.startswith(_GZIP):
            with gzip.GzipFile(fileobj=source) as file:
                yield Stream(cast("BinaryIO", file), budget, most=most)
        elif start.startswith(_ZSTD):
            unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
            with unpacker.stream_reader(
                source, read_size=_CHUNK, read_across_frames=True, closefd=False
            ) as packed:
                yield Stream(cast("BinaryIO", packed), budget, most=most)
        elif start.startswith((_BZIP2, _XZ)):
            msg = "it is packed by bzip2 or xz, which no layer of an image is"
            raise InputError(msg, next="unpack it first")
        else:
            yield Stream(source, budget, most=most)
    except (zlib.error, EOFError, gzip.BadGzipFile, zstandard.ZstdError) as error:
        msg = f"it cannot be unpacked ({error!s:.100})"
        raise InputError(msg, why="it is truncated or damaged") from error
