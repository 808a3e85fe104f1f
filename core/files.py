"""Files: written whole or not at all, hashed, and what a disk refuses said so that the user can put it right."""

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, assert_never

from core.errors import StorageError
from core.remove import remove

CHUNK = 1 << 16
"""Bytes that are read or written at a time."""

LONGEST_CONTEST = 30.0
"""Seconds for which something temporary is made anew when it is swept, or its directory removed, in the same moment."""

SHA256 = re.compile(r"[0-9a-f]{64}")

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def temporary_file(directory: Path, *, prefix: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Lend an open file; whatever is still there under its name afterwards is removed.

    As long as it is open nobody's `sweep` takes it: flush it before it gets its name, and leave closing to this block.
    """

    def make() -> tuple[int, Path]:
        number, name = tempfile.mkstemp(prefix=prefix, dir=directory)
        return number, Path(name)

    number, path = _make_owned(directory, make)
    try:
        with os.fdopen(number, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_directory(directory: Path, *, prefix: str) -> Iterator[Path]:
    """Lend a new directory, which is removed at the end, whatever is in it. As long nobody's `sweep` takes it."""

    def make() -> tuple[int, Path]:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=directory))
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path

    number, path = _make_owned(directory, make)
    try:
        yield path
    finally:
        try:
            remove(path)
        finally:
            os.close(number)


def is_owned(path: Path) -> bool:
    """True when a living process holds what `temporary_file` or `temporary_directory` lent it.

    The kernel knows, across PID namespaces and however the process ended. What cannot be asked is taken to be owned.
    """
    with _taken(path) as free:
        return not free


def sweep(directory: Path, *, prefixes: tuple[str, ...] = ("",)) -> list[Path]:
    """Remove what no living process owns in ``directory``, of the names that begin so.

    Returns what is gone. What cannot be removed stays.
    """
    try:
        with os.scandir(directory) as entries:
            found = [directory / e.name for e in entries if e.name.startswith(prefixes)]
    except OSError:
        return []
    swept = []
    for path in found:
        # Held while it is removed: who has just made it waits, finds it gone, and makes another one.
        with _taken(path) as free:
            if free:
                with contextlib.suppress(OSError):
                    remove(path)
                if not os.path.lexists(path):
                    swept.append(path)
    return swept


def _make_owned(directory: Path, make: Callable[[], tuple[int, Path]]) -> tuple[int, Path]:
    """Return what ``make`` opened and named, locked; made again when a `sweep` took it before it was locked."""
    # By time, not by tries: on a busy machine one who sweeps can win many times in a row.
    until = time.monotonic() + LONGEST_CONTEST
    turn = 0
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            number, path = make()
        except (FileNotFoundError, FileExistsError):
            # The directory, or what was made in it, may have gone at that moment.
            if _is_in_the_way(directory) or time.monotonic() > until:
                raise
        else:
            if _lock(number, path):
                return number, path
            if time.monotonic() > until:
                raise FileNotFoundError(errno.ENOENT, "somebody sweeps it at once", str(directory))
        turn += 1
        time.sleep(random.uniform(0, 0.001 * min(turn, 20)))  # whoever sweeps gets to its end


def _lock(number: int, path: Path) -> bool:
    """Take the lock of what has just got this name; when a `sweep` was faster it is closed, and False is returned."""
    with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
        fcntl.flock(number, fcntl.LOCK_EX)
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(number), path.lstat()):
            return True
    os.close(number)
    return False


def _is_in_the_way(directory: Path) -> bool:
    """True when something else has the name, so that no directory can get it."""
    try:
        return not stat.S_ISDIR(directory.stat().st_mode)
    except FileNotFoundError:
        return directory.is_symlink()  # one that leads nowhere
    except OSError:
        return True


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Hold the lock of something temporary. Lends True when nobody else has it, it is gone, or nobody lends such."""
    try:
        number = _open_to_lock(path)
    except OSError as error:
        # Links and sockets are nobody's.
        yield error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}
        return
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(number)


def _open_to_lock(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        # What its owner may not read: whoever left it so left a directory that nobody could ever sweep.
        state = path.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            raise
        path.chmod(stat.S_IMODE(state.st_mode) | stat.S_IRUSR)
        return os.open(path, flags)


def read_small(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file of at most ``most`` bytes: no link, and nothing that would make one wait.

    Raises NotPlainError for anything else, FileNotFoundError, PermissionError and other OSErrors.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        number = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotPlainError(error.errno, "not a plain file", str(path)) from error
        raise
    try:
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            raise NotPlainError(errno.EINVAL, "not a plain file", str(path))
        if state.st_size > most:
            raise NotPlainError(errno.EFBIG, "too large to be one", str(path))
        data = b""
        while piece := os.read(number, most + 1 - len(data)):
            data += piece
        return data
    finally:
        os.close(number)


class NotPlainError(OSError):
    """A link, a directory, a device, a pipe, a socket, or a file that is too large stands where a small file should."""


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
        file.flush()
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


class Place(StrEnum):
    """What can be full, or not ours."""

    CACHE = "the cache"
    ARTIFACTS = "the directory of the results"
    LOGS = "the directory of the logs"
    KEPT = "what a program keeps"

    @property
    def remedy(self) -> str:
        """What makes room there, or another place of it."""
        match self:
            case Place.CACHE:
                return "inv cache prune makes room; FROMSCRATCH_CACHE names another directory"
            case Place.ARTIFACTS:
                return "inv clean makes room; FROMSCRATCH_ARTIFACTS names another directory"
            case Place.LOGS:
                return "logs lie in the cache's directory and can be deleted; FROMSCRATCH_CACHE names another"
            case Place.KEPT:
                return (
                    "inv cache prune makes room; or name another directory in FROMSCRATCH_CACHE "
                    "or FROMSCRATCH_ARTIFACTS"
                )
            case _:
                assert_never(self)


@contextlib.contextmanager
def disk_errors(where: Path, place: Place = Place.KEPT) -> Iterator[None]:
    """Turn every OSError of the block into a StorageError that names a path, and the ``place`` that it is in."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, where, place) from error


def storage_error(error: OSError, where: Path, place: Place = Place.KEPT) -> StorageError:
    """Return an OSError as one that says what to do; ``where`` is the path, unless the error names one."""
    path = error.filename if isinstance(error.filename, str) else str(where)
    number, reason = error.errno, error.strerror or str(error)
    if isinstance(error, shutil.Error):
        # One error for many files: (source, copy, reason), the reason in words only.
        reason = str(error.args[0][0][2])
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in reason else None
    of = "" if place is Place.KEPT else f" of {place}"
    if number in FULL:
        why = f"the disk{of}, or the quota on it, is full"
    elif number in FORBIDDEN:
        why = "the directory belongs to somebody else, or its file system is read-only"
    else:
        why = "the directory cannot be there, or its file system fails"
    return StorageError(
        f"'{path}': {reason}.",
        why=why,
        next=f"check free space and permissions of {path} ({place.remedy})",
    )
