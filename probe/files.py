"""Reading files without the io module."""

from __future__ import annotations

import posix

from probe.errors import Unhealthy
from probe.values import decode_text, encode_text

READ_FLAGS = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC  # a FIFO must not block the probe


def read_file(path: bytes, limit: int) -> bytes:
    """Return up to `limit` bytes of a file, or nothing when it cannot be read."""
    try:
        return read_bytes(path, limit)
    except OSError:
        return b""


def read_bytes(path: bytes, limit: int) -> bytes:
    """Return up to `limit` bytes of a file; raises OSError."""
    descriptor = posix.open(path, READ_FLAGS)
    try:
        pieces = []
        while limit > 0:
            piece = posix.read(descriptor, min(limit, 65536))
            if not piece:
                break
            pieces.append(piece)
            limit -= len(piece)
    finally:
        posix.close(descriptor)
    return b"".join(pieces)


def read_secret(path: str) -> str:
    """Return the content of a password file, without the newline that editors add."""
    try:
        secret = decode_text(read_bytes(encode_text(path), 4097))
    except OSError as error:
        msg = f"the password file {path} cannot be read: {(error.strerror or 'error').lower()}"
        raise Unhealthy(msg) from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret or len(secret) > 4096:
        msg = f"the password file {path} must hold 1 to 4096 bytes"
        raise Unhealthy(msg)
    return secret
