"""The content-addressed cache: bytes under their sha256, results of steps under their action key.

```
<root>/cas/<2 hex>/<sha256>    the bytes, read-only
<root>/seen/<2 hex>/<sha256>   what the file looked like when it was last hashed
<root>/ac/<key>                JSON: the result of an action, with its own checksum
<root>/part/<sha256>.*         downloads that can be resumed
<root>/tmp/<pid>-*             what that process is at
<root>/locks/                  held by the kernel: the files that stay behind mean nothing
```

Every file appears by one rename, so that a reader meets all of it or nothing. A damaged entry is
found when it is asked for, removed, and reported as absent.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.cancel import CancelToken
from core.errors import SourceError
from core.files import SHA256, atomic, copy_hashed, disk_errors, hash_file, install, temporary_file

KEY = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,199}")
STALE = 86400.0
"""Seconds after which a temporary file belongs to nobody: its writer crashed."""


class WrongBytesError(SourceError):
    """A file is not what was pinned; it was not stored."""

    def __init__(self, subject: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"'{subject}' is not what was pinned.\n"
            f"    expected sha256 {expected}\n"
            f"    actual sha256   {actual}"
        )
        self.expected = expected
        self.actual = actual


class EntryKind(StrEnum):
    """What the cache holds."""

    BLOB = "blob"
    ACTION = "action"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in the cache. ``size`` in bytes, ``used`` in seconds since 1970."""

    kind: EntryKind
    name: str
    size: int
    used: float


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """An entry that `Cache.verify` found damaged and removed."""

    kind: EntryKind
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What `Cache.prune` took away. ``size`` in bytes."""

    entries: int
    size: int


@dataclass(frozen=True)
class Cache:
    """A cache below ``root``. Making one touches nothing; directories appear when something is put.

    Safe for any number of threads and processes at once. Raises StorageError when the disk is
    full, read-only or not ours.
    """

    root: Path

    def blob(self, sha256: str) -> Path | None:
        """Return the file with these bytes, read-only and verified, or None."""
        path = self._blob_path(sha256)
        with disk_errors(path):
            try:
                found = _stamp(path.lstat())
            except FileNotFoundError:
                return None
            # Hashing everything at every use would cost a warm build its 0.3 s. A file that was
            # right once is taken to be right as long as size, mtime, inode and ctime stand still:
            # a program that writes to it moves ctime, and cannot set it back. Not noticed: bits
            # that rot on the disk, and a write in the same clock tick as the hashing (the file
            # is read-only). `verify` always hashes.
            if self._seen(sha256) == found:
                with contextlib.suppress(OSError):
                    os.utime(self._seen_path(sha256))
                return path
            return path if self._rehash(path) is None else None

    def put_file(self, path: Path, *, move: bool = False, expect: str | None = None) -> str:
        """Store a file's bytes and return their sha256; with ``move`` the file is gone afterwards.

        Raises WrongBytesError, and leaves the file where it is, when ``expect`` is not its sha256.
        """
        with disk_errors(self.root):
            scratch = self._directory("tmp")
            if move and path.lstat().st_dev == scratch.stat().st_dev:
                return self._install(path, hash_file(path), expect, path.name)
            with temporary_file(scratch, prefix=f"{os.getpid()}-") as (copy, temporary):
                sha256 = copy_hashed(path, copy)
                copy.close()
                self._install(temporary, sha256, expect, path.name)
            if move:
                path.unlink()
            return sha256

    def get_action(self, key: str) -> dict[str, Any] | None:
        """Return what `put_action` stored under ``key``, or None.

        The blobs it names may be gone or damaged all the same: ask `blob` for each.
        """
        path = self._action_path(key)
        with disk_errors(path):
            try:
                value = _decode(path.read_bytes(), key)
            except FileNotFoundError:
                return None
            except ValueError:
                _remove(path)
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
            return value

    def put_action(self, key: str, value: Mapping[str, object]) -> None:
        """Store the result of an action. Put the blobs it names first: no crash makes it lie."""
        path = self._action_path(key)
        with disk_errors(path), atomic(path, scratch=self.root / "tmp") as file:
            file.write(_encode(key, value))

    @contextlib.contextmanager
    def lock(
        self,
        name: str,
        *,
        waiting: Callable[[], None] = lambda: None,
        cancel: CancelToken | None = None,
    ) -> Iterator[None]:
        """Keep every other holder of this name, in any thread or process, outside the block.

        ``waiting`` is called once when there is somebody to wait for. The kernel holds the lock:
        it ends with its process, however that ends. Not reentrant. Raises Cancelled.
        """
        cancel = CancelToken() if cancel is None else cancel  # one that is not set is false
        # Imported here: it is slow, and a warm run needs no lock.
        from filelock import FileLock, Timeout  # noqa: PLC0415

        with disk_errors(self.root):
            lock = FileLock(self._directory("locks") / f"{_checked(KEY, name)}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                waiting()
                with contextlib.suppress(Timeout):
                    lock.acquire(cancel_check=cancel.is_set)
        try:
            cancel.check(name)
            yield
        finally:
            lock.release()

    def part(self, sha256: str) -> Path:
        """Return where a download of these bytes grows; hold the lock ``fetch-<sha256>`` for it."""
        with disk_errors(self.root):
            return self._directory("part") / _checked(SHA256, sha256)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend an empty directory on the cache's own file system; it is removed after the block."""
        with disk_errors(self.root):
            directory = tempfile.TemporaryDirectory(
                prefix=f"{os.getpid()}-", dir=self._directory("tmp")
            )
        with directory as name:
            yield Path(name)

    def entries(self) -> list[Entry]:
        """Return all entries, blobs first, by name. Nothing is hashed."""
        found = []
        with disk_errors(self.root):
            for kind, path in self._paths():
                with contextlib.suppress(FileNotFoundError):
                    state = path.lstat()
                    used = state.st_mtime
                    with contextlib.suppress(FileNotFoundError):
                        if kind is EntryKind.BLOB:
                            used = self._seen_path(path.name).lstat().st_mtime
                    found.append(Entry(kind=kind, name=path.name, size=state.st_size, used=used))
        return found

    def prune(self, *, max_age: float, now: float | None = None) -> Pruned:
        """Remove what was not used for ``max_age`` seconds; 0 removes everything.

        Downloads that another run is at, and its temporary files, are left alone.
        """
        limit = (time.time() if now is None else now) - max_age
        old = [entry for entry in self.entries() if entry.used <= limit]
        with disk_errors(self.root):
            # Actions first: an action without blobs is a lie, a blob without action only waste.
            for entry in sorted(old, key=lambda entry: entry.kind):
                if entry.kind is EntryKind.ACTION:
                    _remove(self._action_path(entry.name))
                else:
                    self._forget(entry.name)
            self._prune_parts(limit)
            for path in (self.root / "tmp").glob("*"):
                if path.lstat().st_mtime <= min(limit, time.time() - STALE):
                    _remove(path)
        return Pruned(entries=len(old), size=sum(entry.size for entry in old))

    def verify(self) -> list[Damaged]:
        """Hash everything, remove what is damaged and return it."""
        damaged = []
        with disk_errors(self.root):
            for kind, path in self._paths():
                if reason := self._damage(kind, path):
                    damaged.append(Damaged(kind=kind, name=path.name, reason=reason))
        return damaged

    def _damage(self, kind: EntryKind, path: Path) -> str | None:
        if kind is EntryKind.BLOB:
            return self._rehash(path)
        try:
            _decode(path.read_bytes(), path.name)
        except FileNotFoundError:
            pass
        except ValueError as error:
            _remove(path)
            return str(error)
        return None

    def _blob_path(self, sha256: str) -> Path:
        return self.root / "cas" / _checked(SHA256, sha256)[:2] / sha256

    def _seen_path(self, sha256: str) -> Path:
        return self.root / "seen" / sha256[:2] / sha256

    def _action_path(self, key: str) -> Path:
        return self.root / "ac" / _checked(KEY, key)

    def _directory(self, name: str) -> Path:
        directory = self.root / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _install(self, path: Path, sha256: str, expect: str | None, name: str) -> str:
        if expect is not None and expect != sha256:
            raise WrongBytesError(name, expected=expect, actual=sha256)
        if self.blob(sha256) is not None:
            path.unlink()
        else:
            target = self._blob_path(sha256)
            install(path, target, mode=0o444)
            self._remember(sha256, _stamp(target.lstat()))
        return sha256

    def _rehash(self, path: Path) -> str | None:
        """Hash a blob. None: it is good, and remembered. Else it was removed, for this reason."""
        try:
            with path.open("rb") as file:
                before = _stamp(os.fstat(file.fileno()))
                actual = hashlib.file_digest(file, "sha256").hexdigest()
                after = _stamp(os.fstat(file.fileno()))
        except FileNotFoundError:
            return "vanished"
        except IsADirectoryError:
            actual, before, after = "a directory", [], []
        if actual == path.name:
            if before == after:
                self._remember(path.name, after)
            return None
        self._forget(path.name)
        _remove(path)
        return f"its sha256 is {actual}"

    def _seen(self, sha256: str) -> list[int] | None:
        try:
            seen = json.loads(self._seen_path(sha256).read_bytes())
        except (OSError, ValueError):
            return None
        return seen if isinstance(seen, list) else None

    def _remember(self, sha256: str, stamp: list[int]) -> None:
        # A cache that cannot be written to is still good to read from, only slower.
        path, scratch = self._seen_path(sha256), self.root / "tmp"
        with contextlib.suppress(OSError), atomic(path, sync=False, scratch=scratch) as file:
            file.write(json.dumps(stamp).encode())

    def _forget(self, sha256: str) -> None:
        _remove(self.root / "cas" / sha256[:2] / sha256)
        _remove(self._seen_path(sha256))

    def _paths(self) -> Iterator[tuple[EntryKind, Path]]:
        for kind, pattern in ((EntryKind.BLOB, "cas/*/*"), (EntryKind.ACTION, "ac/*")):
            for path in sorted(self.root.glob(pattern)):
                yield kind, path

    def _prune_parts(self, limit: float) -> None:
        from filelock import FileLock, Timeout  # noqa: PLC0415

        for path in (self.root / "part").glob("*"):
            lock = self._directory("locks") / f"fetch-{path.name.partition('.')[0]}.lock"
            with contextlib.suppress(Timeout, FileNotFoundError), FileLock(lock, blocking=False):
                if path.lstat().st_mtime <= limit:
                    _remove(path)


def _checked(pattern: re.Pattern[str], name: str) -> str:
    if not pattern.fullmatch(name):
        msg = f"'{name}' cannot name an entry of the cache."
        raise ValueError(msg)
    return name


def _stamp(state: os.stat_result) -> list[int]:
    return [state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _encode(key: str, value: Mapping[str, object]) -> bytes:
    check = hashlib.sha256(_canonical(value)).hexdigest()
    return _canonical({"version": 1, "key": key, "sha256": check, "value": dict(value)})


def _decode(data: bytes, key: str) -> dict[str, Any]:
    """Undo `_encode`; raises ValueError when the entry is damaged or belongs to another key."""
    entry = json.loads(data)
    if not isinstance(entry, dict) or entry.get("version") != 1 or entry.get("key") != key:
        msg = "it is not the entry of this key"
        raise ValueError(msg)
    value = entry.get("value")
    check = hashlib.sha256(_canonical(value)).hexdigest()
    if not isinstance(value, dict) or entry.get("sha256") != check:
        msg = "its checksum is wrong"
        raise ValueError(msg)
    return value
