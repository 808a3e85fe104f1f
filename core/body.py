"""What is sent in a request: bytes, or a stretch of a file that is read as it goes out."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, kw_only=True)
class Body:
    """``size`` bytes of ``source`` from ``offset`` on. Can be sent any number of times."""

    source: bytes | Path
    size: int
    offset: int = 0
    watch: Callable[[int], None] = lambda size: None
    """Called with the count of bytes that each read takes; may raise to end the sending."""

    @classmethod
    def of(cls, data: bytes) -> "Body":
        return cls(source=data, size=len(data))

    def open(self) -> "Reading":
        """Begin at the front."""
        file = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")
        file.seek(self.offset)
        return Reading(file, self.size, self.watch)


class Reading:
    """A body while it is sent: what `requests` asks of a file."""

    def __init__(self, file: BinaryIO, size: int, watch: Callable[[int], None]) -> None:
        self.size = size
        self.sent = 0
        self._watch = watch
        self._file = file
        self.close = file.close

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty body is a body

    def read(self, size: int = -1) -> bytes:
        left = self.size - self.sent
        data = self._file.read(left if size < 0 else min(size, left))
        self.sent += len(data)
        self._watch(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(1 << 16):
            yield data
