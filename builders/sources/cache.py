"""The content-addressed cache: bytes under their sha256, results of steps under their action key.

```
<root>/cas/<2 hex>/<sha256>    the bytes, read-only
<root>/seen/<2 hex>/<sha256>   what the file looked like when it was last hashed, sealed
<root>/ac/<key>                JSON: the result of an action, signed by the builder
<root>/{verdict,smoke,took,rebuilt,origin}/<key>
                               the same for other kinds of results
<root>/seen/<kind>/<key>       the seal of a result whose signature was checked
<root>/part/<sha256>.*         downloads that can be resumed
<root>/tmp/<pid>-*             what that process is at
<root>/campaigns/              what a campaign made for its next run: no entry, and nothing is believed for it
<root>/locks/                  held by the kernel: the files that stay behind mean nothing
```

Every file appears by one rename, so that a reader meets all of it or nothing. A damaged entry is
found when it is asked for, removed, and reported as absent. Bytes are believed for their digest,
results for the signature of a builder who is trusted (see `core.builder_keys`).
"""

import contextlib
import errno
import hashlib
import hmac
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.sources.entry import LARGEST, Result, decode, encode, signed_part
from core.builder_keys import ALTERED, STRANGE, BuilderKeys, default_path
from core.cancel import CancelToken
from core.errors import SourceError, StorageError
from core.files import (
    SHA256,
    NotPlainError,
    Place,
    atomic,
    copy_hashed,
    disk_errors,
    hash_file,
    install,
    read_small,
    sweep,
    temporary_directory,
    temporary_file,
)
from core.kinds import EntryKind
from core.remove import remove

if TYPE_CHECKING:
    from core.signing import PublicKey

KEY = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,199}")
SEAL = 4096
"""Bytes: more than any seal has."""

FOLDERS = {EntryKind.ACTION: "ac"} | {
    kind: kind.value for kind in EntryKind if kind not in {EntryKind.ACTION, EntryKind.BLOB}
}
"""Where each kind of result lies."""

Check = Callable[[dict[str, Any]], bool]
"""Says whether what another builder signed is so."""


DISAGREES = "it does not say what its output holds"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What trusted builders say of one key."""

    value: dict[str, Any]
    signers: "tuple[PublicKey, ...]"
    """Each a different key, this builder's own first."""


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


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in the cache. ``size`` in bytes, ``used`` in seconds since 1970."""

    kind: EntryKind
    name: str
    size: int
    used: float


class Remedy(StrEnum):
    """What becomes of an entry that is wrong."""

    REMOVED = "removed"
    IGNORED = "ignored"
    """It may be good for somebody who trusts its builder."""
    MENDED = "mended"


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """An entry that `Cache.verify` found to be wrong, and what it did about it."""

    kind: EntryKind
    name: str
    reason: str
    done: Remedy


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
    keys: BuilderKeys = field(default_factory=lambda: BuilderKeys(path=default_path()))
    """Whose results are believed."""
    strangers: set[tuple[EntryKind, str]] = field(default_factory=set, compare=False)
    """The results that were met and not believed: nobody who is trusted has signed them."""

    @property
    def local(self) -> "Cache":
        """The part of it that is on this machine: all."""
        return self

    @property
    def width(self) -> int:
        """How many look-ups at a time are worth their threads."""
        return 1

    def place(self, sha256: str) -> Path:
        """Return where these bytes are, once they are here."""
        return self._blob_path(sha256)

    def has(self, sha256: str) -> bool:
        """Whether `blob` would find these bytes."""
        return self.blob(sha256) is not None

    def blob(self, sha256: str) -> Path | None:
        """Return the file with these bytes, read-only and verified, or None."""
        path = self._blob_path(sha256)
        with disk_errors(path, Place.CACHE):
            try:
                state = path.lstat()
            except FileNotFoundError:
                return None
            # Hashing everything at every use would cost a warm build its 0.3 s. A file that was
            # right once is taken to be right as long as size, mtime, inode and ctime stand still:
            # a program that writes to it moves ctime, and cannot set it back. Not noticed: bits
            # that rot on the disk, and a write in the same clock tick as the hashing (the file
            # is read-only). `verify` always hashes. What it looked like is sealed: else whoever can
            # write here could say of any bytes that they were hashed.
            if stat.S_ISREG(state.st_mode) and self._is_sealed(
                self._seen_path(sha256), sha256, _stamp(state)
            ):
                with contextlib.suppress(OSError):
                    os.utime(self._seen_path(sha256))
                return path
            return path if self._rehash(path) is None else None

    def put_file(self, path: Path, *, move: bool = False, expect: str | None = None) -> str:
        """Store a file's bytes and return their sha256; with ``move`` the file is gone afterwards.

        Raises WrongBytesError, and leaves the file where it is, when ``expect`` is not its sha256.
        """
        with disk_errors(self.root, Place.CACHE):
            scratch = self._directory("tmp")
            if move and path.lstat().st_dev == scratch.stat().st_dev:
                return self._install(path, hash_file(path), expect, path.name)
            with temporary_file(scratch, prefix=f"{os.getpid()}-") as (copy, temporary):
                sha256 = copy_hashed(path, copy)
                copy.flush()
                self._install(temporary, sha256, expect, path.name)
            if move:
                path.unlink()
            return sha256

    def get_action(
        self, key: str, *, kind: EntryKind = EntryKind.ACTION, check: Check | None = None
    ) -> dict[str, Any] | None:
        """Return what `put_action` stored under ``key``, or None; also when nobody signed it who is trusted.

        ``check`` is asked about what another builder signed, once: what it finds false is as if absent.
        The blobs it names may be gone or damaged all the same: ask `blob` for each.
        """
        path = self._result_path(kind, key)
        with disk_errors(path, Place.CACHE):
            value = self._believed(path, kind, key, check)
            if isinstance(value, dict):
                with contextlib.suppress(OSError):
                    os.utime(path)
                return value
            if value is Remedy.REMOVED:
                _remove(path)
            return None

    def put_action(
        self, key: str, value: Mapping[str, object], *, kind: EntryKind = EntryKind.ACTION
    ) -> None:
        """Sign and store a result. Put the blobs it names first: no crash makes it lie.

        Raises StorageError also when there is no builder key, and none can be made.
        """
        path = self._result_path(kind, key)
        data = encode(kind, key, value, [self.keys.sign(signed_part(kind, key, value))])
        with disk_errors(path, Place.CACHE):
            self._write_result(path, data)
        self._seal(self._sealed_result(kind, key), kind, key, _digest(data))

    def adopt(
        self,
        key: str,
        data: bytes,
        *,
        kind: EntryKind = EntryKind.ACTION,
        check: Check | None = None,
    ) -> dict[str, Any]:
        """Keep a signed entry that was made elsewhere, and return its value; ``check`` is as in `get_action`.

        Raises ValueError, which says why, when it is not believed.
        """
        path = self._result_path(kind, key)
        result, signer = self._judged(data, kind, key)
        if signer is None:
            raise ValueError(self.keys.disbelief(result.signatures))
        if signer.point != self.keys.own_point and check is not None and not check(result.value):
            raise ValueError(DISAGREES)
        with disk_errors(path, Place.CACHE):
            self._write_result(path, data, sync=False)
        self._seal(self._sealed_result(kind, key), kind, key, _digest(data))
        return result.value

    def signed(self, key: str, *, kind: EntryKind = EntryKind.ACTION) -> bytes | None:
        """Return a result with its signatures, as `adopt` takes it; None when `get_action` would find none."""
        path = self._result_path(kind, key)
        if self.get_action(key, kind=kind) is None:
            return None
        with disk_errors(path, Place.CACHE), contextlib.suppress(FileNotFoundError):
            return read_small(path, LARGEST)
        return None

    def statements(self, key: str, *, kind: EntryKind = EntryKind.ACTION) -> list[Statement]:
        """Return what is said of ``key``, and which trusted builders have signed that."""
        data = self.signed(key, kind=kind)
        found = self.statement(key, data, kind=kind) if data else None
        return [found] if found else []

    def statement(self, key: str, data: bytes, *, kind: EntryKind) -> Statement | None:
        """Read one entry; None when nobody who is trusted has signed it."""
        try:
            result = decode(data, kind, key)
            part = signed_part(kind, key, result.value)
        except ValueError:
            return None
        signers = self.keys.signers(part, result.signatures)
        return Statement(value=result.value, signers=signers) if signers else None

    def check_key(self) -> None:
        """Make sure that results can be signed. Raises StorageError when there is no builder key, and none can be."""
        assert self.keys.own

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

        with disk_errors(self.root, Place.CACHE):
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
        with disk_errors(self.root, Place.CACHE):
            return self._directory("part") / _checked(SHA256, sha256)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend an empty directory on the cache's own file system; it is removed after the block."""
        with contextlib.ExitStack() as stack:
            with disk_errors(self.root, Place.CACHE):
                directory = stack.enter_context(
                    temporary_directory(self._directory("tmp"), prefix=f"{os.getpid()}-")
                )
            yield directory

    def entries(self) -> list[Entry]:
        """Return all entries, blobs first, by name. Nothing is hashed."""
        with disk_errors(self.root, Place.CACHE):
            found = [self._entry(kind, path) for kind, path in self._paths()]
        return [entry for entry in found if entry is not None]

    def _entry(self, kind: EntryKind, path: Path) -> Entry | None:
        try:
            state = path.lstat()
        except FileNotFoundError:
            return None
        used = state.st_mtime
        if kind is EntryKind.BLOB:
            with contextlib.suppress(OSError):
                used = self._seal_of(kind, path).lstat().st_mtime
        return Entry(kind=kind, name=path.name, size=state.st_size, used=used)

    def prune(self, *, max_age: float, now: float | None = None) -> Pruned:
        """Remove what was not used for ``max_age`` seconds; 0 removes everything.

        Downloads that another run is at, and its temporary files, are left alone.
        """
        limit = (time.time() if now is None else now) - max_age
        removed, size = 0, 0
        with disk_errors(self.root, Place.CACHE):
            # Results first: a result without blobs is a lie, a blob without result only waste.
            for kind, path in sorted(self._paths(), key=lambda found: found[0] is EntryKind.BLOB):
                entry = self._entry(kind, path)
                if entry is not None and entry.used <= limit:
                    _remove(path)
                    _remove(self._seal_of(kind, path))
                    removed, size = removed + 1, size + entry.size
            self._prune_parts(limit)
        return Pruned(entries=removed, size=size)

    def sweep(self) -> list[Path]:
        """Remove what killed runs left in ``tmp``, and nothing of a run that lives; return what is gone."""
        return sweep(self.root / "tmp")

    def verify(self, *, check: Check | None = None) -> list[Damaged]:
        """Look at everything; remove what is damaged, and return all that was wrong.

        Bytes are hashed, the seals that say they were are compared, signatures are checked. ``check`` is asked about
        every action, whoever signed it.
        """
        wrong = []
        with disk_errors(self.root, Place.CACHE):
            for kind, path in self._paths():
                looks = self._blob_damage if kind is EntryKind.BLOB else self._result_damage
                if found := looks(kind, path, check):
                    done, reason = found
                    if done is Remedy.REMOVED:
                        _remove(path)
                        _remove(self._seal_of(kind, path))
                    wrong.append(Damaged(kind=kind, name=path.name, reason=reason, done=done))
        return wrong

    def _blob_damage(
        self, kind: EntryKind, path: Path, check: Check | None
    ) -> tuple[Remedy, str] | None:
        seal, name = self._seal_of(kind, path), path.name
        try:
            data = read_small(seal, SEAL)
            forged = data.partition(b"\n")[0] == _digest(repr(_stamp(path.lstat())).encode())
            forged = forged and not self._is_sealed(seal, name, _stamp(path.lstat()))
        except OSError:
            forged = os.path.lexists(seal) and not seal.is_file()
        if reason := self._rehash(path):
            return Remedy.REMOVED, reason
        return (Remedy.MENDED, "somebody else says that it was hashed") if forged else None

    def _result_damage(
        self, kind: EntryKind, path: Path, check: Check | None
    ) -> tuple[Remedy, str] | None:
        if not KEY.fullmatch(path.name):
            return Remedy.REMOVED, "its name is none"
        try:
            data = read_small(path, LARGEST)
            result = decode(data, kind, path.name)
            part = signed_part(kind, path.name, result.value)
        except FileNotFoundError:
            return None
        except PermissionError:
            return Remedy.IGNORED, "it is somebody else's, who lets nobody read it"
        except (NotPlainError, IsADirectoryError) as error:
            return Remedy.REMOVED, f"it is {error.strerror}"
        except ValueError as error:
            return Remedy.REMOVED, str(error)
        if not result.signatures or not self.keys.signer(part, result.signatures):
            if self.keys.claimed(result.signatures):
                return Remedy.REMOVED, ALTERED
            return Remedy.IGNORED, STRANGE
        if kind is EntryKind.ACTION and check is not None and not check(result.value):
            return Remedy.REMOVED, DISAGREES
        return None

    def _believed(
        self, path: Path, kind: EntryKind, key: str, check: Check | None
    ) -> dict[str, Any] | Remedy:
        """Return a result, or what is to become of its file."""
        try:
            data = read_small(path, LARGEST)
            result = decode(data, kind, key)
        except (FileNotFoundError, PermissionError):
            return Remedy.IGNORED
        except (ValueError, NotPlainError, IsADirectoryError):
            return Remedy.REMOVED
        seal, facts = self._sealed_result(kind, key), (kind, key, _digest(data))
        if self._is_sealed(seal, *facts):
            return result.value
        try:
            part = signed_part(kind, key, result.value)
        except ValueError:
            return Remedy.REMOVED
        signer = self.keys.signer(part, result.signatures) if result.signatures else None
        if signer is None:
            self.strangers.add((kind, key))
            altered = self.keys.claimed(result.signatures)
            return Remedy.REMOVED if altered else Remedy.IGNORED
        # Our own results are checked where they are made.
        if signer.point != self.keys.own.point and check is not None and not check(result.value):
            self.strangers.add((kind, key))
            return Remedy.IGNORED
        self._seal(seal, *facts)
        return result.value

    def _judged(self, data: bytes, kind: EntryKind, key: str) -> "tuple[Result, PublicKey | None]":
        """Read an entry; say who of those that are trusted has signed it. Raises ValueError when it is damaged."""
        result = decode(data, kind, key)
        part = signed_part(kind, key, result.value)
        return result, self.keys.signer(part, result.signatures) if result.signatures else None

    def _write_result(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        if path.is_dir() and not path.is_symlink():
            _remove(path)
        with atomic(path, sync=sync, scratch=self.root / "tmp") as file:
            file.write(data)

    def _blob_path(self, sha256: str) -> Path:
        return self.root / "cas" / _checked(SHA256, sha256)[:2] / sha256

    def _seen_path(self, sha256: str) -> Path:
        return self.root / "seen" / sha256[:2] / sha256

    def _result_path(self, kind: EntryKind, key: str) -> Path:
        return self.root / FOLDERS[kind] / _checked(KEY, key)

    def _sealed_result(self, kind: EntryKind, key: str) -> Path:
        return self.root / "seen" / kind.value / key

    def _seal_of(self, kind: EntryKind, path: Path) -> Path:
        folder = path.name[:2] if kind is EntryKind.BLOB else kind.value
        return self.root / "seen" / folder / path.name

    def _is_sealed(self, path: Path, *facts: object) -> bool:
        try:
            data = read_small(path, SEAL)
        except OSError:
            return False
        seal = self.keys.seal(*facts)
        expected = b"" if seal is None else _digest(repr(facts[-1]).encode()) + b"\n" + seal
        return seal is not None and hmac.compare_digest(data, expected)

    def _seal(self, path: Path, *facts: object) -> None:
        # A cache that cannot be written to, or a user without a key, is still good, only slower.
        with contextlib.suppress(OSError, StorageError):
            seal = self.keys.seal(*facts, make=True)
            assert seal is not None
            if path.is_dir() and not path.is_symlink():
                _remove(path)
            with atomic(path, sync=False, scratch=self.root / "tmp") as file:
                file.write(_digest(repr(facts[-1]).encode()) + b"\n" + seal)

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
            if target.is_dir() and not target.is_symlink():
                _remove(target)
            install(path, target, mode=0o444)
            self._seal(self._seen_path(sha256), sha256, _stamp(target.lstat()))
        return sha256

    def _rehash(self, path: Path) -> str | None:
        """Hash a blob. None: it is good, and remembered. Else it was removed, for this reason."""
        try:
            with open(path, "rb", opener=_open_plain) as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise NotPlainError
                actual = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            return "vanished"
        except PermissionError:
            return "it cannot be read"
        except (NotPlainError, IsADirectoryError):
            _remove(path)
            return "it is not a plain file"
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENXIO}:
                raise
            _remove(path)
            return "it is not a plain file"
        if actual == path.name:
            if _stamp(before) == _stamp(after):
                self._seal(self._seen_path(path.name), path.name, _stamp(after))
            return None
        _remove(path)
        _remove(self._seal_of(EntryKind.BLOB, path))
        return f"its sha256 is {actual}"

    def _paths(self) -> Iterator[tuple[EntryKind, Path]]:
        for path in sorted(self.root.glob("cas/*/*")):
            yield EntryKind.BLOB, path
        for kind, folder in FOLDERS.items():
            for path in sorted(self.root.glob(f"{folder}/*")):
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
    return [state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns, state.st_uid]


def _open_plain(path: str, flags: int) -> int:
    """Open without following a link, and without waiting for whoever writes into a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _remove(path: Path) -> None:
    with contextlib.suppress(PermissionError):
        remove(path)
