"""A bucket of S3 or Google Cloud Storage, by `fsspec` with `obstore` behind it. Needs the extra ``store``.

A bucket's own API lets an object appear when its last byte is there.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from core.cancel import CancelToken
from core.errors import FromscratchError, StoreError
from core.threads import GLANCE

PATIENCE = 15
"""Seconds for which a bucket that fails is asked again: a build goes on without its store."""

CHUNK = 8 << 20
"""Bytes that are asked for at a time."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Implements `builders.sources.objects.Objects` below a prefix of a bucket."""

    url: str
    """``s3://BUCKET/PREFIX``; rights and address come from the environment, as the bucket's own tools read it."""
    files: Any
    """An `fsspec.asyn.AsyncFileSystem`, which does its work in a thread of its own."""
    cancel: CancelToken = field(default_factory=CancelToken)
    """Ends every wait soon once it is set."""

    @classmethod
    def open(cls, url: str, *, cancel: CancelToken) -> "Bucket":
        """Nothing is asked yet. Raises StoreError when the address or the rights make no sense."""
        from obstore.fsspec import FsspecStore  # noqa: PLC0415 - an extra, and slow

        scheme = url.partition("://")[0]
        try:
            kind: Any = FsspecStore  # typed for each scheme by itself
            files = kind(
                scheme,
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=PATIENCE)},
                skip_instance_cache=True,
            )
        except Exception as error:
            raise _error(url, error) from error
        return cls(url=url.rstrip("/"), files=files, cancel=cancel)

    def __str__(self) -> str:
        return self.url

    def exists(self, name: str) -> bool:
        return self._size(name) is not None

    def get(self, name: str, into: BinaryIO) -> bool:
        size = self._size(name)
        for start in range(0, size or 0, CHUNK):
            piece = self._piece(name, start, min(start + CHUNK, size or 0))
            if piece is None:
                return False
            into.write(piece)
        return size is not None

    def read(self, name: str, most: int) -> bytes | None:
        size = self._size(name)
        if size is None:
            return None
        return self._piece(name, 0, min(size, most)) if size else b""

    def _size(self, name: str) -> int | None:
        """Bytes of an object; None: there is none."""
        found = self._ask(self.files._info(self._path(name)))
        return int(found["size"]) if found and found["type"] == "file" else None

    def _piece(self, name: str, start: int, end: int) -> bytes | None:
        found = self._ask(self.files._cat_file(self._path(name), start=start, end=end))
        return None if found is None else bytes(found)

    def put(self, name: str, source: Path) -> None:
        self._ask(self.files._put_file(str(source), self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _ask(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Return the answer; None when there is no such object. Raises StoreError and Cancelled."""
        asked = asyncio.run_coroutine_threadsafe(question, self.files.loop)
        try:
            while not asked.done():
                wait([asked], timeout=GLANCE)
                self.cancel.check("asking the store")
            return asked.result()
        except FileNotFoundError:
            return None
        except FromscratchError:
            raise
        except Exception as error:
            # Each back end raises what its library does, and that is no contract.
            raise _error(self.url, error) from error
        finally:
            asked.cancel()


def _error(url: str, error: Exception) -> StoreError:
    # The first sentence is for people, what follows is the library's own state.
    text = " ".join(str(error).partition("Debug source")[0].split()) or type(error).__name__
    reason = "".join(char for char in text if char.isprintable())[:300]
    msg = f"The store {url} cannot be used: {reason}"
    why = (
        "its address, or the rights that the environment names, are wrong; or it cannot be reached"
    )
    return StoreError(msg, why=why, next="try the bucket's own tool with the same environment")
