"""A folder or a bucket as the store of shared results: every object appears whole, or not at all.

```
<root>/cas/<2 hex>/<sha256>    a blob, as a zstd frame
<root>/<kind>/<key>            a signed result
<root>/tmp/                    of a folder: what somebody is writing
```
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from builders.sources.entry import LARGEST
from core.errors import StoreError
from core.files import CHUNK, NotPlainError, atomic, read_small, sweep, temporary_file
from core.kinds import EntryKind
from core.remove import remove
from core.zstd import DamagedError, pack, unpack

DAMAGED = b""
"""What is returned of a result that is there and cannot be read: nobody believes it, and it is said."""


class Objects(Protocol):
    """Named bytes somewhere. Thread-safe. Everything raises StoreError when they cannot be reached."""

    def exists(self, name: str) -> bool: ...

    def get(self, name: str, into: BinaryIO) -> bool:
        """Write an object's bytes; False: there is none."""
        ...

    def read(self, name: str, most: int) -> bytes | None:
        """Return an object's bytes; None: there is none. More than ``most`` bytes are cut off."""
        ...

    def put(self, name: str, source: Path) -> None:
        """Let an object appear, whole, over one that is there."""
        ...


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """Implements `builders.store.Store`."""

    objects: Objects
    scratch: Path
    """Where frames lie while they travel; see `core.files.sweep`."""

    def __str__(self) -> str:
        return str(self.objects)

    def has(self, sha256: str) -> bool:
        return self.objects.exists(_blob(sha256))

    def pull(self, sha256: str, into: Path) -> bool:
        with temporary_file(self.scratch, prefix=f"{os.getpid()}-") as (_, path):
            with path.open("w+b") as frame, into.open("wb") as file:
                if not self.objects.get(_blob(sha256), frame):
                    return False
                frame.seek(0)
                with contextlib.suppress(DamagedError):  # whoever hashes it sees what it is
                    unpack(frame, file)
            return True

    def push(self, path: Path, sha256: str, *, over: bool) -> None:
        if not over and self.has(sha256):
            return
        with temporary_file(self.scratch, prefix=f"{os.getpid()}-") as (frame, packed):
            pack(path, frame)
            frame.flush()
            self.objects.put(_blob(sha256), packed)

    def result(self, kind: EntryKind, key: str) -> bytes | None:
        data = self.objects.read(f"{kind.value}/{key}", LARGEST + 1)
        return DAMAGED if data is not None and len(data) > LARGEST else data

    def put_result(self, kind: EntryKind, key: str, data: bytes, blobs: Sequence[str]) -> None:
        with temporary_file(self.scratch, prefix=f"{os.getpid()}-") as (file, path):
            file.write(data)
            file.flush()
            self.objects.put(f"{kind.value}/{key}", path)


def _blob(sha256: str) -> str:
    return f"cas/{sha256[:2]}/{sha256}"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A directory that several machines see, on NFS for example. A name appears by one rename."""

    root: Path

    def __str__(self) -> str:
        return f"file://{self.root}"

    def sweep(self) -> None:
        """Remove what killed writers left, and nothing of one that lives."""
        sweep(self.root / "tmp")

    def exists(self, name: str) -> bool:
        try:
            return stat.S_ISREG((self.root / name).lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._error(error) from error

    def get(self, name: str, into: BinaryIO) -> bool:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            number = os.open(self.root / name, flags)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                return False
            raise self._error(error) from error
        try:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                return False
            while piece := os.read(number, CHUNK):
                into.write(piece)
        finally:
            os.close(number)
        return True

    def read(self, name: str, most: int) -> bytes | None:
        try:
            return read_small(self.root / name, most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (NotPlainError, IsADirectoryError):
            return DAMAGED
        except OSError as error:
            raise self._error(error) from error

    def put(self, name: str, source: Path) -> None:
        path = self.root / name
        try:
            if path.is_dir() and not path.is_symlink():
                remove(path)  # nothing can get its name
            with (
                source.open("rb") as original,
                atomic(path, scratch=self.root / "tmp") as file,
            ):
                shutil.copyfileobj(original, file)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> StoreError:
        msg = f"The store {self} cannot be used: {error.strerror or error}."
        why = "it is full, read-only, not mounted, or not this user's"
        return StoreError(msg, why=why, next=f"check free space and permissions of {self.root}")
