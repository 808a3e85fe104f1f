"""Files: written whole or not at all, hashed, and what a disk refuses said so that the user can put it right."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import StorageError

CHUNK = 1 << 16
"""Bytes that are read or written at a time."""

SHA256 = re.compile(r"[0-9a-f]{64}")

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def temporary_file(directory: Path, *, prefix: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Lend an open file; whatever is still there under its name afterwards is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=prefix, dir=directory)
    path = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def install(temporary: Path, path: Path, *, mode: int = 0o644, sync: bool = True) -> None:
    """Give a closed file of the same file system its name; with ``sync`` its bytes reach the disk before that.

    The directory is not synced: after a power cut the file may be missing, but it is never half a file.
    """
    temporary.chmod(mode)
    if sync:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)


@contextlib.contextmanager
def atomic(
    path: Path, *, mode: int = 0o644, sync: bool = True, scratch: Path | None = None
) -> Iterator[BinaryIO]:
    """Lend a file that becomes ``path`` when the block ends well, and leaves nothing when it does not.

    ``scratch`` is where it grows, on the same file system: a dot file beside ``path``, unless told otherwise.
    """
    prefix = f"{os.getpid()}-" if scratch else f".{path.name}."
    with temporary_file(scratch or path.parent, prefix=prefix) as (file, temporary):
        yield file
        file.close()
        install(temporary, path, mode=mode, sync=sync)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all; one that has these bytes already is left as it is."""
    if not path.is_file() or path.read_bytes() != data:
        with atomic(path, mode=mode) as file:
            file.write(data)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_hashed(original: Path, copy: BinaryIO) -> str:
    """Write a file's bytes to another one, and return their sha256."""
    digest = hashlib.sha256()
    with original.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn every OSError of the block into a StorageError that names a path."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, where) from error


def storage_error(error: OSError, where: Path) -> StorageError:
    """Return an OSError as one that says what to do; ``where`` is the path, unless the error names one."""
    path = error.filename if isinstance(error.filename, str) else str(where)
    number, reason = error.errno, error.strerror or str(error)
    if isinstance(error, shutil.Error):
        # One error for many files: (source, copy, reason), the reason in words only.
        reason = str(error.args[0][0][2])
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in reason else None
    if number in FULL:
        why = "the disk, or the quota on it, is full"
    elif number in FORBIDDEN:
        why = "the directory belongs to somebody else, or its file system is read-only"
    else:
        why = "the directory cannot be there, or its file system fails"
    return StorageError(
        f"'{path}': {reason}.",
        why=why,
        next=f"check free space and permissions of {path} (inv cache prune makes room), "
        "or name another directory in FROMSCRATCH_CACHE or FROMSCRATCH_ARTIFACTS",
    )
