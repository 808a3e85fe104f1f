"""Digests by the hashlib and hmac modules of a plain Python, for `python -m probe`: the frozen programs have C."""

from __future__ import annotations

import errno
import hashlib
import hmac

NAMES = ("md5", "sha1", "sha256")


def plain_digest(name: str, data: bytes) -> bytes:
    """Do as system.digest says."""
    if name not in NAMES:
        raise OSError(errno.EINVAL, name)
    return hashlib.new(name, data, usedforsecurity=False).digest()


def plain_hmac_rounds(key: bytes, data: bytes, rounds: int) -> bytes:
    """Do as system.hmac_rounds says."""
    total = 0
    for _ in range(max(rounds, 1)):
        data = hmac.digest(key, data, "sha256")
        total ^= int.from_bytes(data, "big")
    return data + total.to_bytes(32, "big")
