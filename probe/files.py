"""Reading files without the io module."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.system import close, error_text, open_file, read
from probe.values import visible_text

LONGEST_SECRET = 4096


def read_file(path: bytes, limit: int) -> bytes:
    """Return up to `limit` bytes of a file, or nothing when it cannot be read."""
    try:
        return read_bytes(path, limit)
    except OSError:
        return b""


def read_bytes(path: bytes, limit: int) -> bytes:
    """Return up to `limit` bytes of a file; raises OSError."""
    descriptor = open_file(path)
    try:
        pieces = []
        while limit > 0:
            piece = read(descriptor, min(limit, 65536))
            if not piece:
                break
            pieces.append(piece)
            limit -= len(piece)
    finally:
        close(descriptor)
    return b"".join(pieces)


def read_secret(path: bytes) -> bytes:
    """Return the content of a password file, without the newline that editors add."""
    try:
        secret = read_bytes(path, LONGEST_SECRET + 1)
    except OSError as error:
        msg = f"the password file {visible_text(path)} cannot be read: {error_reason(error)}"
        raise Unhealthy(msg) from None
    if secret.endswith(b"\n"):
        secret = secret[:-1]
    if secret.endswith(b"\r"):
        secret = secret[:-1]
    if not secret or len(secret) > LONGEST_SECRET:
        msg = f"the password file {visible_text(path)} must hold 1 to {LONGEST_SECRET} bytes"
        raise Unhealthy(msg)
    return secret


def error_reason(error: OSError | ValueError) -> str:
    """Return the short text of an error of the operating system or of TLS."""
    if isinstance(error, OSError) and error.errno:
        return error_text(error.errno).lower()
    return str(error)
