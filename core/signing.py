"""Ed25519 keys in minisign's files: made, read with suspicion, signed and verified with.

A key file that others can read is no secret, so it is refused. Nothing here prints a key or says it in an error.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core import minisign
from core.errors import PublishError
from core.key_file import read_key, write_new_key
from core.minisign import SignatureFile


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """Whom to believe."""

    id: bytes
    point: bytes

    @property
    def name(self) -> str:
        """The key's id in hexadecimal, as minisign prints it."""
        return minisign.name_of(self.id)

    @property
    def text(self) -> str:
        """The public key file."""
        return minisign.public_text(self.id, self.point)

    @property
    def line(self) -> str:
        """The whole key as one word: what ``minisign -P`` takes."""
        return self.text.splitlines()[1]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file's text, or the one line. Raises PublishError."""
        number, point = minisign.parse_public(text)
        key = cls(id=number, point=point)
        key.crypto()
        return key

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls.parse(read_key(path, what="public key"))

    def write(self, path: Path) -> None:
        """Write the public key file. Raises PublishError when it exists already or cannot be written."""
        write_new_key(path, self.text, mode=0o644)

    def verify(self, data: bytes, signature: str) -> str:
        """Return the trusted comment of a signature over ``data``. Raises PublishError when it does not hold.

        Every byte of the signature's text counts, the untrusted comment's too: it must be minisign's own.
        """
        found = minisign.parse_signature(signature)
        if found.id != self.id:
            msg = f"The signature is of the key {minisign.name_of(found.id)}, not of {self.name}."
            raise PublishError(msg, why="another key signed it, or the key has changed")
        self._check(found.signature, _hash(data), "The signature does not fit the file.")
        self._check(found.whole, found.covered, "The signature's trusted comment was changed.")
        if found.text() != signature:
            msg = "The signature's untrusted comment was changed."
            raise PublishError(msg, why="it is neither ours nor what minisign writes by itself")
        return found.comment

    @property
    def pem(self) -> str:
        """The key as cosign, OpenSSL and podman read it: PEM of a SubjectPublicKeyInfo. Raises PublishError."""
        made = self.crypto().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return made.decode("ascii")

    def crypto(self) -> Ed25519PublicKey:
        """The key as `cryptography` has it. Raises PublishError for what is no point of the curve."""
        try:
            return Ed25519PublicKey.from_public_bytes(self.point)
        except ValueError as error:
            msg = "This is not an Ed25519 key."
            raise PublishError(msg) from error

    def _check(self, signature: bytes, data: bytes, wrong: str) -> None:
        try:
            self.crypto().verify(signature, data)
        except InvalidSignature as error:
            raise PublishError(wrong, why="one of the two was changed since") from error


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """What signs. Shown as its public half only."""

    public: PublicKey
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        key = Ed25519PrivateKey.generate()
        public = PublicKey(id=secrets.token_bytes(8), point=key.public_key().public_bytes_raw())
        return cls(public=public, seed=key.private_bytes_raw())

    @classmethod
    def read(cls, path: Path, *, password: str | None = None) -> Self:
        """Read a secret key file: ours, or minisign's with or without a password.

        Raises PublishError for a file that others may read, that is no plain file, is damaged, or needs a password.
        """
        text = read_key(path, what="secret key", secret=True)
        return cls.parse(text, str(path), password=password)

    @classmethod
    def parse(cls, text: str, label: str, *, password: str | None = None) -> Self:
        """Read a secret key's text: its file's, or the line in it alone. Errors name ``label``, and never quote it.

        Raises PublishError for what is none, is damaged, or needs a password.
        """
        try:
            number, seed, point = minisign.parse_secret(text, password=password)
            key = cls(public=PublicKey(id=number, point=point), seed=seed)
            if key.crypto().public_key().public_bytes_raw() != point:
                msg = "The secret key is damaged."
                raise PublishError(msg, why="its two halves do not belong together")
        except PublishError as error:
            error.what = f"{label}: {error.what}"
            raise
        return key

    def write(self, path: Path) -> None:
        """Write the secret key file, for its owner only. Raises PublishError when there is such a file already."""
        text = minisign.secret_text(self.public.id, self.seed, self.public.point)
        write_new_key(path, text, mode=0o600)

    def sign(self, data: bytes, *, comment: str) -> bytes:
        """Return the text of a ``.minisig`` file. The same key, data and comment give the same bytes.

        Raises PublishError unless ``comment``, which is signed along, is one line.
        """
        minisign.one_line(comment)
        crypto = self.crypto()
        first = crypto.sign(_hash(data))
        whole = crypto.sign(first + comment.encode())
        made = SignatureFile(id=self.public.id, signature=first, comment=comment, whole=whole)
        return made.text().encode()

    def crypto(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def __reduce__(self) -> str:
        msg = "a secret key does not travel"
        raise TypeError(msg)


def new_key(path: Path, public: Path) -> SecretKey:
    """Make a key pair in two files that must not be there yet: both, or none. Raises PublishError."""
    key = SecretKey.generate()
    key.write(path)
    try:
        key.public.write(public)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return key


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()
