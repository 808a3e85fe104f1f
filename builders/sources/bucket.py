"""A bucket: S3, Google Cloud Storage and whatever else `fsspec` speaks to. Needs the extra ``store``.

A bucket's own API lets an object appear when its last byte is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from core.errors import FromscratchError, StoreError

_Answer = TypeVar("_Answer")

SCHEMES = ("s3", "gs")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Implements `builders.sources.objects.Objects` below a prefix of a bucket."""

    url: str
    """``s3://BUCKET/PREFIX``; rights and address come from the environment, as the bucket's own tools read it."""
    files: Any
    """An `fsspec.AbstractFileSystem`."""

    @classmethod
    def open(cls, url: str) -> "Bucket":
        """Nothing is asked yet. Raises StoreError when the address or the rights make no sense."""
        import fsspec  # noqa: PLC0415 - an extra, and slow

        scheme = url.partition("://")[0]
        try:
            # Others write there at the same time: nothing that was listed once is remembered.
            files = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
        except Exception as error:
            raise _error(url, error) from error
        return cls(url=url.rstrip("/"), files=files)

    def __str__(self) -> str:
        return self.url

    def exists(self, name: str) -> bool:
        return self._ask(lambda: bool(self.files.info(self._path(name))), default=False)

    def get(self, name: str, into: BinaryIO) -> bool:
        def fetch() -> bool:
            self.files.get_file(self._path(name), into)
            return True

        return self._ask(fetch, default=False)

    def read(self, name: str, most: int) -> bytes | None:
        return self._ask(
            lambda: bytes(self.files.cat_file(self._path(name), start=0, end=most)), default=None
        )

    def put(self, name: str, source: Path) -> None:
        self._ask(lambda: self.files.put_file(str(source), self._path(name)), default=None)

    def _path(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _ask(self, ask: Callable[[], _Answer], *, default: _Answer) -> _Answer:
        try:
            return ask()
        except FileNotFoundError:
            return default
        except FromscratchError:
            raise
        except Exception as error:
            # Each back end raises what its library does, and that is no contract.
            raise _error(self.url, error) from error


def _error(url: str, error: Exception) -> StoreError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    msg = f"The store {url} cannot be used: {reason}"
    why = (
        "its address, or the rights that the environment names, are wrong; or it cannot be reached"
    )
    return StoreError(msg, why=why, next="try the bucket's own tool with the same environment")
