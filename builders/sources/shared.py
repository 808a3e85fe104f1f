"""A cache that others share: what is not on this machine is looked for in a store, what was made here is put there.

It wraps the cache of this machine, which stays the one that is read: bytes are hashed and results are looked at for
their signatures on their way in. Nothing moves that nobody needs: to know that a blob is there, the store is asked.

A store that cannot be reached is one that has nothing: that is said once, and the run goes on without it.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from builders.sources.cache import Cache, Check, Statement, WrongBytesError
from builders.sources.entry import decode, encode, signed_part
from builders.store import Store
from core.builder_keys import MOST_SIGNATURES, BuilderKeys
from core.cancel import CancelToken
from core.errors import StoreError
from core.files import SHA256, Place, disk_errors
from core.kinds import EntryKind
from core.progress import Report

_Answer = TypeVar("_Answer")

SHARED = frozenset(EntryKind) - {EntryKind.BLOB, EntryKind.TOOK}
"""What others may know: all but how long something took on this machine."""

WIDTH = 16
"""Look-ups at a time: they wait for answers most of the time."""

TIMES = frozenset({"seconds", "usage"})
"""What of an action's result is different every time."""


@dataclass(kw_only=True)
class Condition:
    """What became of a store during one run. Guarded by its lock."""

    lock: Lock = field(default_factory=Lock)
    unreadable: bool = False
    unwritable: bool = False
    lost: set[str] = field(default_factory=set)
    """The blobs that it had, or said that it had, and could not give as they must be."""
    known: set[tuple[EntryKind, str]] = field(default_factory=set)
    """The results that are there as they should be."""
    faults: dict[str, str] = field(default_factory=dict)
    """What was met there and not believed, and why."""


@dataclass(frozen=True)
class SharedCache:
    """The cache ``local`` of this machine, with a ``store`` behind it. Thread-safe, as both are."""

    local: Cache
    store: Store
    report: Report = field(default_factory=Report)
    read_only: bool = False
    """Nothing is ever put there."""
    cancel: CancelToken = field(default_factory=CancelToken)
    condition: Condition = field(default_factory=Condition, compare=False)

    # --- what only this machine has

    @property
    def root(self) -> Path:
        return self.local.root

    @property
    def keys(self) -> BuilderKeys:
        return self.local.keys

    @property
    def strangers(self) -> set[tuple[EntryKind, str]]:
        return self.local.strangers

    @property
    def width(self) -> int:
        """How many look-ups at a time are worth their threads."""
        return WIDTH

    @property
    def faults(self) -> Mapping[str, str]:
        """What was met in the store and not believed, and why."""
        return self.condition.faults

    def check_key(self) -> None:
        self.local.check_key()

    def put_file(self, path: Path, *, move: bool = False, expect: str | None = None) -> str:
        """See `Cache.put_file`. It goes to the store together with the result that names it."""
        return self.local.put_file(path, move=move, expect=expect)

    def part(self, sha256: str) -> Path:
        return self.local.part(sha256)

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        return self.local.scratch()

    def lock(
        self,
        name: str,
        *,
        waiting: Callable[[], None] = lambda: None,
        cancel: CancelToken | None = None,
    ) -> contextlib.AbstractContextManager[None]:
        """See `Cache.lock`. It keeps out whoever shares the local cache, not whoever shares the store."""
        return self.local.lock(name, waiting=waiting, cancel=cancel)

    def sweep(self) -> list[Path]:
        return self.local.sweep()

    # --- bytes

    def has(self, sha256: str) -> bool:
        """Whether these bytes are here, or the store says that it has them."""
        if self.local.has(sha256):
            return True
        return sha256 not in self.condition.lost and self._offers(sha256)

    def blob(self, sha256: str) -> Path | None:
        """Return the file with these bytes, read-only and verified, out of the store if need be; or None."""
        if (path := self.local.blob(sha256)) or sha256 in self.condition.lost:
            return path
        with self.local.lock(f"pull-{sha256}", cancel=self.cancel):
            if path := self.local.blob(sha256):
                return path
            with disk_errors(self.root, Place.CACHE), self.local.scratch() as scratch:
                pulled = scratch / "pulled"
                if not self._read(lambda: self.store.pull(sha256, pulled), default=False):
                    # It may have gone since somebody was told of it: whoever makes it again puts it there.
                    self._lose(sha256)
                    return None
                try:
                    self.local.put_file(pulled, move=True, expect=sha256)
                except WrongBytesError as error:
                    self._lose(sha256)
                    self._fault(EntryKind.BLOB, sha256, f"its sha256 is {error.actual}")
        return self.local.blob(sha256)

    def offer_blob(self, sha256: str) -> bool:
        """See to it that the store has these bytes; return whether it does."""
        if self._closed:
            return False
        lost = sha256 in self.condition.lost
        if not lost and self._offers(sha256):
            return True
        path = self.local.blob(sha256)
        if path is None or not self._write(lambda: self.store.push(path, sha256, over=lost)):
            return False
        with self.condition.lock:
            self.condition.lost.discard(sha256)
        return True

    def distrust(self, digests: Iterable[str]) -> None:
        """Take what the store has under these for damaged: what is here is put over it when it is offered next."""
        with self.condition.lock:
            self.condition.lost.update(digests)

    def restored(self, digests: Iterable[str]) -> None:
        """Somebody else has put these into the store anew: they are looked for there again."""
        with self.condition.lock:
            self.condition.lost.difference_update(digests)

    def is_damaged(self, digests: Iterable[str]) -> bool:
        """Whether one of these was there in this run, but not as it must be."""
        return not self.condition.lost.isdisjoint(digests)

    def anew(self) -> "SharedCache":
        """The same, of whose store nothing is known yet."""
        return replace(self, condition=Condition())

    def is_shared(self, key: str, *, kind: EntryKind = EntryKind.ACTION) -> bool:
        """Whether a result was found or put into the store in this run, as it should be."""
        return (kind, key) in self.condition.known

    # --- results

    def get_action(
        self, key: str, *, kind: EntryKind = EntryKind.ACTION, check: Check | None = None
    ) -> dict[str, Any] | None:
        """See `Cache.get_action`. What is known here alone is put into the store; what is known there alone is kept."""
        value = self.local.get_action(key, kind=kind, check=check)
        if kind not in SHARED:
            return value
        if value is not None:
            self.offer(key, kind=kind)
            return value
        data = self._read(lambda: self.store.result(kind, key), default=None)
        if data is None:
            return None
        try:
            value = self.local.adopt(key, data, kind=kind, check=check)
        except ValueError as error:
            self._fault(kind, key, str(error))
            return None
        self._know(kind, key)
        return value

    def get_anew(
        self, key: str, *, kind: EntryKind = EntryKind.ACTION, check: Check | None = None
    ) -> dict[str, Any] | None:
        """Return what the store says of a key now, whatever is known here; None when that is not believed.

        What was made here stays, where somebody else has made the same.
        """
        data = self._read(lambda: self.store.result(kind, key), default=None)
        if data is None:
            return None
        mine = self.local.get_action(key, kind=kind)
        said = self.local.statement(key, data, kind=kind)
        if mine and said and _made(kind, mine) == _made(kind, said.value):
            return mine
        try:
            return self.local.adopt(key, data, kind=kind, check=check)
        except ValueError as error:
            self._fault(kind, key, str(error))
            return None

    def put_action(
        self, key: str, value: Mapping[str, object], *, kind: EntryKind = EntryKind.ACTION
    ) -> None:
        """See `Cache.put_action`. The store gets it, and the blobs that it names, too."""
        self.local.put_action(key, value, kind=kind)
        with self.condition.lock:
            self.condition.known.discard((kind, key))
        self.offer(key, kind=kind)

    def offer(self, key: str, *, kind: EntryKind = EntryKind.ACTION) -> None:
        """See to it that the store has a result of this machine, and its blobs. What is not believed here is not put.

        One builder's signature is added to another's when both have made the same.
        """
        if self._closed or kind not in SHARED or (kind, key) in self.condition.known:
            return
        mine = self.local.signed(key, kind=kind)
        if mine is None:
            return
        there = self._read(lambda: self.store.result(kind, key), default=None)
        if self._closed:
            return
        wanted = self._joined(kind, key, mine, there)
        blobs = blobs_of(kind, key, decode(mine, kind, key).value)
        if wanted is None and not self.condition.lost.intersection(blobs):
            self._know(kind, key)
            return
        data = wanted or mine
        # The blobs first: nobody is told of what is not there.
        if all(map(self.offer_blob, blobs)) and self._write(
            lambda: self.store.put_result(kind, key, data, blobs)
        ):
            self._know(kind, key)

    def statements(self, key: str, *, kind: EntryKind = EntryKind.ACTION) -> list[Statement]:
        """Return what is said of ``key`` here and in the store, and which trusted builders have signed that."""
        found = self.local.statements(key, kind=kind)
        data = self._read(lambda: self.store.result(kind, key), default=None)
        shared = self.local.statement(key, data, kind=kind) if data else None
        return [*found, shared] if shared else found

    def _joined(self, kind: EntryKind, key: str, mine: bytes, there: bytes | None) -> bytes | None:
        """Return what the store should have; None when it is what it has."""
        if there is None:
            return mine
        own = decode(mine, kind, key).value
        try:
            value, signatures = decode(there, kind, key)
            part = signed_part(kind, key, value)
        except ValueError as error:
            self._fault(kind, key, str(error))
            return mine
        signers = {signer.point for signer in self.keys.signers(part, signatures)}
        if not signers:
            self._fault(kind, key, self.keys.disbelief(signatures))
        here = self._made_here(kind, key, mine)
        same = _bare(own) == _bare(value)
        if not same and not (signers and _made(kind, own) == _made(kind, value)):
            if signers:
                self._fault(kind, key, "it says that something else was made than was made here")
            return mine if here or not signers else None
        if signers and (not here or self.keys.own_point in signers):
            return None
        if not here or (not same and kind is not EntryKind.ACTION):
            return None if signers else mine
        # What somebody else has signed came out here, too.
        texts = [self.keys.sign(part), *signatures][:MOST_SIGNATURES]
        return encode(kind, key, value, texts)

    def _made_here(self, kind: EntryKind, key: str, mine: bytes) -> bool:
        said = self.local.statement(key, mine, kind=kind)
        return said is not None and said.signers[0].point == self.keys.own_point

    # --- asking the store

    @property
    def _closed(self) -> bool:
        """Nothing can be put there."""
        return self.read_only or self.condition.unwritable or self.condition.unreadable

    def _offers(self, sha256: str) -> bool:
        return self._read(lambda: self.store.has(sha256), default=False)

    def _read(self, ask: Callable[[], _Answer], *, default: _Answer) -> _Answer:
        if self.condition.unreadable:
            return default
        try:
            return ask()
        except StoreError as error:
            with self.condition.lock:
                first, self.condition.unreadable = not self.condition.unreadable, True
            if first:
                self.report.warn(f"{error}\n  The run goes on without the store.")
            return default

    def _write(self, put: Callable[[], None]) -> bool:
        if self._closed:
            return False
        try:
            put()
        except StoreError as error:
            with self.condition.lock:
                first, self.condition.unwritable = not self.condition.unwritable, True
            if first:
                self.report.warn(f"{error}\n  From now on nothing is put into the store.")
            return False
        return True

    def _know(self, kind: EntryKind, key: str) -> None:
        with self.condition.lock:
            self.condition.known.add((kind, key))

    def _lose(self, sha256: str) -> None:
        with self.condition.lock:
            self.condition.lost.add(sha256)

    def _fault(self, kind: EntryKind, key: str, reason: str) -> None:
        with self.condition.lock:
            self.condition.faults.setdefault(f"{kind.value} {key}", reason)


AnyCache = Cache | SharedCache
"""What steps are looked up in, and put into."""


def blobs_of(kind: EntryKind, key: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the blobs that a result is nothing without."""
    named: list[object] = []
    if kind is EntryKind.ORIGIN:
        named = [key.rpartition("-")[2]]
    elif kind is EntryKind.ACTION:
        files = value.get("files")
        named = [value.get("output"), *(files.values() if isinstance(files, dict) else ())]
    texts = (name for name in named if isinstance(name, str) and SHA256.fullmatch(name))
    return tuple(dict.fromkeys(texts))


def _bare(value: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result is the same every time."""
    return {name: part for name, part in value.items() if name not in TIMES}


def _made(kind: EntryKind, value: Mapping[str, Any]) -> object:
    """What a result is about: of an action, what it made."""
    return (value.get("output"), value.get("files")) if kind is EntryKind.ACTION else None
