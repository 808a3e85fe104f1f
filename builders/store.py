"""Where machines keep what they share: bytes under their sha256, signed results under their key.

A store is believed for nothing. Whoever asks hashes the bytes that came, and looks whose signature a result has.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from core.kinds import EntryKind


class Store(Protocol):
    """A registry, a bucket or a folder. Thread-safe.

    Every method raises StoreError when the store cannot be reached or does not do its part.
    """

    def has(self, sha256: str) -> bool:
        """Return whether the store says that it has these bytes; nothing is moved."""
        ...

    def pull(self, sha256: str, into: Path) -> bool:
        """Write what the store has under this digest to ``into``; False: it has nothing. The caller hashes it."""
        ...

    def push(self, path: Path, sha256: str, *, over: bool) -> None:
        """Put a file's bytes there; with ``over`` also where the store says that it has them: those are damaged."""
        ...

    def result(self, kind: EntryKind, key: str) -> bytes | None:
        """Return the signed entry under a key, as `builders.sources.entry` encodes it; None when there is none."""
        ...

    def put_result(self, kind: EntryKind, key: str, data: bytes, blobs: Sequence[str]) -> None:
        """Put a signed entry under its key, over what was there; the store has its ``blobs`` (sha256) already."""
        ...
