"""What can go wrong between us and a disk, said so that the user can put it right."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import SourceError

CHUNK = 1 << 16
"""Bytes that are read or written at a time."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class StorageError(SourceError):
    """The disk is full, read-only, not ours or failing; nothing half-written was left."""


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn every OSError of the block into a StorageError that names a path."""
    try:
        yield
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else where
        number, said = error.errno, error.strerror or str(error)
        if isinstance(error, shutil.Error):
            # One error for many files: (source, copy, reason), the reason in words only.
            said = str(error.args[0][0][2])
            number = errno.ENOSPC if os.strerror(errno.ENOSPC) in said else None
        msg = f"'{path}': {said}."
        if number in FULL:
            raise StorageError(
                msg,
                why="the disk, or the quota on it, is full",
                next="make room (inv cache prune), or name another directory in FROMSCRATCH_CACHE",
            ) from error
        if number in FORBIDDEN:
            raise StorageError(
                msg,
                why="the directory belongs to somebody else, or its file system is read-only",
                next="name a directory of your own in FROMSCRATCH_CACHE",
            ) from error
        raise StorageError(msg, why="the disk or its file system fails") from error
