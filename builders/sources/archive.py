"""What is in an archive, member by member, in bounded memory; nothing is written here.

Not ``TarFile.extractall``: its ``filter="data"`` came with Python 3.11.4, lets links through that
only later members turn into a way out, and has no limit for bytes, files or memory.
"""

import bz2
import calendar
import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from core.files import CHUNK

HEADER_MAX = 1 << 20
"""Longest header, name or comment, in bytes: tarfile would read a declared 10 GB into memory."""
XZ_MEMORY = 256 << 20
"""``xz -9`` needs 65 MiB; a hostile stream may declare 4 GiB."""

BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OverflowError, RecursionError, NotImplementedError, LookupError, ValueError),
    RuntimeError,
)
"""All that the standard library raises for a damaged or hostile archive."""


class Unreadable(Exception):
    """The archive cannot be read on; the message says why."""


class MemberKind(StrEnum):
    """What a member of an archive is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    OTHER = "device or pipe"


_KINDS = {
    tarfile.DIRTYPE: MemberKind.DIRECTORY,
    tarfile.SYMTYPE: MemberKind.SYMLINK,
    tarfile.LNKTYPE: MemberKind.HARDLINK,
}


@dataclass(frozen=True, kw_only=True)
class ArchiveMember:
    """One member. ``chunks`` must be read before the next member is asked for."""

    name: str
    kind: MemberKind
    size: int
    executable: bool
    mtime: int
    target: str
    chunks: Iterator[bytes]


@contextlib.contextmanager
def members(archive: Path, *, max_read: int) -> Iterator[Iterator[ArchiveMember]]:
    """Open a .tar.gz, .tar.bz2, .tar.xz or .zip (by its first bytes) and lend its members.

    ``max_read`` bounds the unpacked stream of a tar, headers and padding and all. Raises
    Unreadable, while the members are read too.
    """
    with archive.open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        try:
            if magic.startswith(b"PK"):
                with zipfile.ZipFile(raw) as archive_zip:
                    yield _zip_members(archive_zip)
                return
            with _decompressed(raw, magic) as stream:
                bounded = _Forward(stream, max_read)
                # Only read, seek and tell are used of it, and all three are checked.
                with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive_tar:
                    yield _tar_members(archive_tar, bounded)
        except (*BROKEN, OSError) as error:
            # bz2 has no error of its own, only one of the system without a number.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            msg = f"damaged archive: {error}"
            raise Unreadable(msg) from error


def _decompressed(raw: IO[bytes], magic: bytes) -> io.BufferedIOBase:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if magic == b"\xfd7zXZ\x00":
        return io.BufferedReader(_Xz(raw), CHUNK)
    msg = "neither .tar.gz, .tar.bz2, .tar.xz nor .zip"
    raise Unreadable(msg)


class _Xz(io.RawIOBase):
    """`lzma.LZMAFile` with a limit for memory, which that one does not have."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            rest = b""
            if self._stream.eof:
                rest = self._stream.unused_data.lstrip(b"\0") or self._raw.read(CHUNK).lstrip(b"\0")
                if not rest:
                    return 0
                self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
            elif self._stream.needs_input and not (rest := self._raw.read(CHUNK)):
                msg = "the stream ends too early"
                raise EOFError(msg)
            if data := self._stream.decompress(rest, len(buffer)):
                buffer[: len(data)] = data
                return len(data)


class _Forward:
    """A stream for tarfile that only goes forward, in small steps, and not too far."""

    def __init__(self, stream: io.BufferedIOBase, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            msg = "a header points backwards"
            raise Unreadable(msg)
        self._check(position)
        while self._position < position:
            if not self.read(min(CHUNK, position - self._position)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= HEADER_MAX:
            msg = f"a header declares a name or comment of {size} bytes"
            raise Unreadable(msg)
        self.last = self._stream.read(min(size, self._limit + 1 - self._position))
        self._position += len(self.last)
        self._check(self._position)
        return self.last

    def _check(self, position: int) -> None:
        if position > self._limit:
            msg = f"unpacks to more than {self._limit} bytes"
            raise Unreadable(msg)


def _tar_members(archive: tarfile.TarFile, stream: _Forward) -> Iterator[ArchiveMember]:
    while (info := archive.next()) is not None:
        # tarfile keeps all members for random access: memory that nobody here wants.
        archive.members = []  # type: ignore[attr-defined]
        if info.size < 0 or info.issparse():
            msg = f"member '{info.name}' has a negative size or holes"
            raise Unreadable(msg)
        yield ArchiveMember(
            name=info.name,
            kind=MemberKind.FILE if info.isreg() else _KINDS.get(info.type, MemberKind.OTHER),
            size=info.size if info.isreg() else 0,
            executable=bool(info.mode & 0o111),
            mtime=int(info.mtime),
            target=info.linkname,
            chunks=_stretch(stream, info),
        )
    # tarfile takes a damaged header for the end of the archive; the true end is zeros.
    if stream.last.strip(b"\0"):
        msg = "a header is damaged"
        raise Unreadable(msg)
    # The compressed stream's own checksum stands at its end.
    while stream.read(CHUNK):
        pass


def _stretch(stream: _Forward, info: tarfile.TarInfo) -> Iterator[bytes]:
    stream.seek(info.offset_data)
    left = info.size
    while left > 0:
        chunk = stream.read(min(CHUNK, left))
        if not chunk:
            msg = f"member '{info.name}' ends too early"
            raise Unreadable(msg)
        left -= len(chunk)
        yield chunk


def _zip_members(archive: zipfile.ZipFile) -> Iterator[ArchiveMember]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        kind = MemberKind.DIRECTORY if info.is_dir() else MemberKind.FILE
        # No wheel has links: their targets would have to be read as text first.
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            kind = MemberKind.OTHER
        yield ArchiveMember(
            name=info.filename,
            kind=kind,
            size=info.file_size,
            executable=bool(mode & 0o111),
            mtime=_zip_time(info.date_time),
            target="",
            chunks=_entry(archive, info),
        )


def _zip_time(moment: tuple[int, int, int, int, int, int]) -> int:
    """Zip has no time zone: UTC, so that it means the same everywhere. No date at all is 1970."""
    try:
        return calendar.timegm((*moment, 0, 0, 0))
    except ValueError:
        return 0


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as file:
        while chunk := file.read(CHUNK):
            yield chunk
