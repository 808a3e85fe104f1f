"""Whose results are believed: those of this builder's own key, and of the keys that a setting names.

A result is signed with Ed25519, as minisign does it. Checking that takes a library that is slow to load, so what was
checked once is remembered by a seal: an HMAC-SHA256 (RFC 2104) that only the holder of the secret key can make.
"""

import contextlib
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from platformdirs import user_state_path

from core import minisign
from core.errors import PublishError, StorageError
from core.key_file import read_key

if TYPE_CHECKING:
    from core.signing import PublicKey

NAME = "builder.key"
COMMENT = "fromscratch result"
"""The trusted comment of a result's signature: none of a release has it, so neither can stand for the other."""

MOST_SIGNATURES = 16
STRANGE = "it is not signed by a trusted builder"
ALTERED = "it was altered since it was signed"
SETTING = "FROMSCRATCH_BUILDER_KEY"


class OwnKey(NamedTuple):
    """The parts of this builder's secret key."""

    id: bytes
    seed: bytes
    point: bytes

    def __repr__(self) -> str:
        return f"OwnKey({minisign.name_of(self.id)})"


def default_path() -> Path:
    """Return where the key is when no setting names a file: in the user's state, away from every cache."""
    return user_state_path("fromscratch") / NAME


@dataclass(frozen=True, kw_only=True)
class BuilderKeys:
    """Signs results and says whose they are. Thread-safe; nothing is read or made before it is needed.

    Everything raises StorageError for a key file that others can read, that is somebody else's, or that is none.
    """

    path: Path
    """The secret key. Made at the first need, and its public half beside it as ``*.pub``."""
    trusted: tuple[str, ...] = ()
    """Further builders' public keys: files, or the lines in them that begin with RW."""

    @cached_property
    def own(self) -> OwnKey:
        """This builder's key, made when there is none. Raises StorageError when it cannot be made."""
        if not os.path.lexists(self.path):
            self._make()
        with _storage_errors():
            text = read_key(self.path, what="builder key", secret=True)
            try:
                return OwnKey(*minisign.parse_secret(text))
            except PublishError as error:
                error.what = f"{self.path}: {error.what}"
                raise

    def seal(self, *facts: object, make: bool = False) -> bytes | None:
        """Return what only the holder of this key can make of ``facts``; None while there is none to ``make``."""
        if not make and "own" not in vars(self) and not os.path.lexists(self.path):
            return None
        return hmac.digest(self._sealing, repr(facts).encode(), "sha256").hex().encode()

    def sign(self, data: bytes) -> str:
        """Return a minisign signature over ``data``."""
        from core.signing import PublicKey, SecretKey  # noqa: PLC0415 - loads a slow library

        own = self.own
        key = SecretKey(public=PublicKey(id=own.id, point=own.point), seed=own.seed)
        return key.sign(data, comment=COMMENT).decode()

    def signer(self, data: bytes, signatures: Iterable[str]) -> "PublicKey | None":
        """Return whose signature over ``data`` holds, this builder's own first; None: nobody's who is believed."""
        return next(self._holding(data, signatures), None)

    def signers(self, data: bytes, signatures: Iterable[str]) -> "tuple[PublicKey, ...]":
        """Return everybody who is believed and whose signature over ``data`` holds, each key once."""
        found = {key.point: key for key in reversed([*self._holding(data, signatures)])}
        return tuple(reversed(found.values()))

    @property
    def own_line(self) -> str:
        """The line of this builder's public key, which others name to trust it; the key is made when there is none."""
        from core.signing import PublicKey  # noqa: PLC0415 - loads a slow library

        return PublicKey(id=self.own.id, point=self.own.point).line

    @property
    def own_point(self) -> bytes:
        """What this builder's key is compared by; empty when there is none yet."""
        return self.own.point if os.path.lexists(self.path) else b""

    def _holding(self, data: bytes, signatures: Iterable[str]) -> "Iterator[PublicKey]":
        from core.signing import PublicKey  # noqa: PLC0415 - loads a slow library

        keys = [*self.others]
        if os.path.lexists(self.path):
            keys.insert(0, PublicKey(id=self.own.id, point=self.own.point))
        texts = list(signatures)[:MOST_SIGNATURES]
        for key in keys:
            for text in texts:
                with contextlib.suppress(PublishError):
                    if key.verify(data, text) == COMMENT:
                        yield key
                        break

    def claimed(self, signatures: Iterable[str]) -> bool:
        """True when one of them names a key that is believed, whether it holds or not."""
        known = {key.id for key in self.others}
        if os.path.lexists(self.path):
            known.add(self.own.id)
        for text in signatures:
            with contextlib.suppress(PublishError):
                if minisign.parse_signature(text).id in known:
                    return True
        return False

    def disbelief(self, signatures: Iterable[str]) -> str:
        """Say what is wrong with what nobody who is trusted has signed."""
        texts = list(signatures)
        if not texts:
            return "it is not signed"
        return ALTERED if self.claimed(texts) else STRANGE

    @cached_property
    def others(self) -> "tuple[PublicKey, ...]":
        """The further builders' keys. Raises StorageError for what is none."""
        from core.signing import PublicKey  # noqa: PLC0415 - loads a slow library

        with _storage_errors():
            return tuple(
                PublicKey.parse(word)
                if word.startswith("RW") and len(word) == 56
                else PublicKey.read(Path(word).expanduser())
                for word in self.trusted
            )

    @cached_property
    def _sealing(self) -> bytes:
        return hashlib.sha256(b"fromscratch seals\0" + self.own.seed).digest()

    def _make(self) -> None:
        """Make the key. Of several processes at once one makes it, and all take that one."""
        from core.signing import SecretKey  # noqa: PLC0415 - loads a slow library

        if not self.path.is_absolute():
            msg = f"The builder key has no place: '{self.path}'."
            raise StorageError(msg, why="this user has no home directory", next=_NEXT)
        directory, public = self.path.parent, self.path.with_suffix(".pub")
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = SecretKey.generate()
            text = minisign.secret_text(key.public.id, key.seed, key.public.point)
            if not _appear(self.path, text, mode=0o600):
                return
            _appear(public, key.public.text, mode=0o644)
        except OSError as error:
            msg = f"The builder key {self.path} cannot be made: {error.strerror}."
            why = "the home directory is read-only, full, or not this user's"
            raise StorageError(msg, why=why, next=_NEXT) from error


_NEXT = f"name a file outside the cache that can be written, and stays, in {SETTING}"


def _appear(path: Path, text: str, *, mode: int) -> bool:
    """Let a file appear whole, unless there is one: then return False."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    return True


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except PublishError as error:
        next = error.next if "chmod" in error.next else _NEXT
        raise StorageError(error.what, why=error.why, next=next) from error
