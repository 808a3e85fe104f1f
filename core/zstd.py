"""Files as zstd frames (RFC 8878): what does not get smaller is stored as it is, a few bytes longer."""

import os
from pathlib import Path
from typing import BinaryIO

from core.files import CHUNK

LEVEL = 6
"""Half of the time of the next levels' few per cent: 8 MB of objects take 0.07 s, and become 2.5."""

WINDOW = 1 << 27
"""Bytes that a frame may have its reader keep: the zstd program's own limit."""

LARGEST = 4 << 30
"""Bytes that are unpacked at most: no step makes as much."""


class DamagedError(ValueError):
    """These are no zstd frames, or what they hold is larger than anything can be."""


def pack(source: Path, into: BinaryIO, *, unlike: bool = False) -> None:
    """Write a file's bytes as a frame. The same bytes give the same frame; ``unlike`` gives another every time."""
    import zstandard  # noqa: PLC0415 - only who shares needs it

    if unlike:
        # A skippable frame: whoever reads passes it over.
        into.write(b"\x50\x2a\x4d\x18\x10\x00\x00\x00" + os.urandom(16))
    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        zstandard.ZstdCompressor(level=LEVEL).copy_stream(file, into, size=size)


def unpack(packed: BinaryIO, into: BinaryIO) -> None:
    """Write what frames hold. Raises DamagedError, also for frames that end too early."""
    import zstandard  # noqa: PLC0415

    machine = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    written = 0
    try:
        with machine.stream_reader(packed, read_across_frames=True, closefd=False) as reader:
            while piece := reader.read(CHUNK):
                written += len(piece)
                if written > LARGEST:
                    msg = "it is larger than anything can be"
                    raise DamagedError(msg)
                into.write(piece)
    except zstandard.ZstdError as error:
        msg = "it is not zstd"
        raise DamagedError(msg) from error
