"""What is sent in a request: a stretch of bytes or of a file, read as it goes out."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 14
"""Bytes that the server has to take in before the connection's patience ends."""


@dataclass(kw_only=True)
class Body:
    """``size`` bytes of ``source`` from ``offset`` on. Can be sent any number of times."""

    source: bytes | Path
    size: int
    offset: int = 0
    watch: Callable[[int], None]
    """Called with the count of bytes that each read takes; may raise to end the sending."""
    sent: int = 0
    """How many went out the last time."""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        self.sent = 0
        with (
            io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")
        ) as file:
            file.seek(self.offset)
            while data := file.read(min(CHUNK, self.size - self.sent)):
                self.sent += len(data)
                self.watch(len(data))
                yield data


Content = bytes | Body
