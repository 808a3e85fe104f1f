"""The three files of minisign, as bytes and back: secret key, public key, signature.

https://jedisct1.github.io/minisign/#signature-format and the sections beside it. Nothing is signed or opened here.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from core.errors import PublishError

COMMENT = "untrusted comment: "
TRUSTED = "trusted comment: "

_PUBLIC, _HASHED = b"Ed", b"ED"
_ENCRYPTED, _PLAIN = b"Sc", b"\0\0"
_CHECKED = b"B2"

# sizes in bytes
_ID, _SEED, _POINT, _SIGNATURE, _CHECKSUM, _SALT = 8, 32, 32, 64, 32, 32
_LOCKED = _ID + _SEED + _POINT + _CHECKSUM

MOST_MEMORY = 1 << 30
"""Bytes: what minisign itself spends on a password at most. A hostile key file may ask for more."""

MOST_TURNS = 16

_SECRET = re.compile(r"RW[A-Za-z0-9+/]{60}|dW50cnVzdGVkIGNvbW1lbnQ")
"""The line that is a secret key (a public one is shorter), or the whole file in base64."""

_LINE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True, kw_only=True)
class SignatureFile:
    """A signature over the BLAKE2b-512 of a file, and a second one over the first and the trusted comment."""

    id: bytes
    signature: bytes
    comment: str
    """The trusted comment: one line."""
    whole: bytes
    """The second signature."""

    @property
    def covered(self) -> bytes:
        """What the second signature is over."""
        return self.signature + self.comment.encode()

    def text(self) -> str:
        """The file, with the untrusted comment that minisign writes unless it is told otherwise."""
        first = _encode(_HASHED + self.id + self.signature)
        return f"{COMMENT}signature from minisign secret key\n{first}\n{TRUSTED}{self.comment}\n{_encode(self.whole)}\n"


def name_of(number: bytes) -> str:
    """A key's id as minisign prints it: the number is little-endian, without leading zeros."""
    return f"{int.from_bytes(number, 'little'):X}"


def one_line(text: str) -> str:
    """Return ``text``. Raises PublishError when it is more than a line of printable characters."""
    if not _LINE.fullmatch(text) or len(text.encode("utf-8", "replace")) > 1024:
        msg = f"A comment of a signature must be one line, not {text[:80]!r}."
        raise PublishError(msg)
    return text


def public_text(number: bytes, point: bytes) -> str:
    """The public key file."""
    line = _encode(_PUBLIC + number + point)
    return f"{COMMENT}minisign public key {name_of(number)}\n{line}\n"


def parse_public(text: str) -> tuple[bytes, bytes]:
    """Return the id and the point of a public key: of its file, or of the one line that ``minisign -P`` takes.

    Raises PublishError.
    """
    lines = text.strip().splitlines()
    if len(lines) == 2 and lines[0].startswith(COMMENT):
        del lines[0]
    data = _decode(lines[0] if len(lines) == 1 else "", len(_PUBLIC) + _ID + _POINT)
    if data is None or not data.startswith(_PUBLIC):
        msg = "This is not a minisign public key."
        raise PublishError(msg, next="give the file minisign.pub, or the line that begins with RW")
    return data[2:10], data[10:]


def secret_text(number: bytes, seed: bytes, point: bytes) -> str:
    """The secret key file, unencrypted, as ``minisign -G -W`` writes it, with its checksum."""
    head = _PUBLIC + _PLAIN + _CHECKED + bytes(_SALT + 16)
    body = number + seed + point
    checksum = _checksum(body)
    return f"{COMMENT}minisign secret key {name_of(number)}\n{_encode(head + body + checksum)}\n"


def looks_secret(text: str) -> bool:
    """Return whether ``text`` is, or was meant to be, a secret key and not the name of a file."""
    return "\n" in text or _SECRET.search(text) is not None


def parse_secret(text: str, *, password: str | None = None) -> tuple[bytes, bytes, bytes]:
    """Return the id, the seed and the point of a secret key file, or of the line in it that is the key.

    ``password`` decrypts an encrypted one, which takes a second and 1 GiB.
    Raises PublishError, which never quotes any of it.
    """
    lines = text.strip().splitlines()
    whole = len(lines) == 1 or (len(lines) == 2 and lines[0].startswith(COMMENT))
    data = _decode(lines[-1] if whole else "", 6 + _SALT + 16 + _LOCKED)
    if data is None or not data.startswith(_PUBLIC) or data[4:6] != _CHECKED:
        msg = "This is not a minisign secret key."
        raise PublishError(msg, next="./inv key new makes one, and so does minisign -G -W")
    method, body = data[2:4], data[6 + _SALT + 16 :]
    if method == _ENCRYPTED:
        if password is None:
            msg = "The secret key is encrypted: a password is required."
            raise PublishError(msg, next="give the password, or a copy without one: minisign -C -W")
        operations, memory = (int.from_bytes(data[i : i + 8], "little") for i in (38, 46))
        body = _decrypt(body, password, data[6:38], operations, memory)
    elif method != _PLAIN:
        msg = "The secret key is encrypted in an unknown way."
        raise PublishError(msg, next="make it anew with minisign 0.8 or later")
    body, checksum = body[:-_CHECKSUM], body[-_CHECKSUM:]
    # minisign 0.11 and older leave the checksum of an unencrypted key empty.
    empty = method == _PLAIN and checksum == bytes(_CHECKSUM)
    if not empty and not hmac.compare_digest(checksum, _checksum(body)):
        wrong = "The password is wrong." if method == _ENCRYPTED else "The secret key is damaged."
        raise PublishError(wrong, why="its checksum is not that of its contents")
    return body[:_ID], body[_ID : _ID + _SEED], body[_ID + _SEED :]


def parse_signature(text: str) -> SignatureFile:
    """Read a signature file. Raises PublishError when it is none, or of the legacy kind."""
    lines = text.split("\n")
    whole = len(lines) == 5 and not lines[4]
    if not whole or not lines[0].startswith(COMMENT) or not lines[2].startswith(TRUSTED):
        msg = "This is not a minisign signature."
        raise PublishError(msg)
    first = _decode(lines[1], 2 + _ID + _SIGNATURE)
    second = _decode(lines[3], _SIGNATURE)
    if first is None or second is None or not first.startswith(_HASHED):
        legacy = first is not None and first.startswith(_PUBLIC)
        msg = "This is not a minisign signature over a file's hash."
        raise PublishError(msg, why="it is of the legacy kind" if legacy else "")
    comment = one_line(lines[2].removeprefix(TRUSTED))
    return SignatureFile(id=first[2:10], signature=first[10:], comment=comment, whole=second)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, size: int) -> bytes | None:
    """Only the one spelling that encoding would give: base64 has spare bits that nobody signs."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == size and _encode(data) == text else None


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(_PUBLIC + body, digest_size=_CHECKSUM).digest()


def parameters(operations: int, memory: int) -> tuple[int, int]:
    """Return the exponent of scrypt's N, and its p (r is 8), as libsodium picks them for its two limits.

    https://github.com/jedisct1/libsodium/blob/master/src/libsodium/crypto_pwhash/scryptsalsa208sha256/pwhash_scryptsalsa208sha256.c
    """
    operations = max(operations, 32768)
    if operations < memory // 32:
        return _exponent(operations // 32), 1
    exponent = _exponent(memory // 1024)
    return exponent, min(operations // 4 >> exponent, 0x3FFFFFFF) // 8


def _decrypt(body: bytes, password: str, salt: bytes, operations: int, memory: int) -> bytes:
    exponent, parallel = parameters(operations, memory)
    if (1 << exponent) * 1024 > MOST_MEMORY or not 1 <= parallel <= MOST_TURNS:
        msg = "The secret key's password costs more memory or time than minisign ever asks for."
        raise PublishError(msg, next="make it anew with minisign -G")
    stream = hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=1 << exponent,
        r=8,
        p=parallel,
        maxmem=MOST_MEMORY + (64 << 20),
        dklen=_LOCKED,
    )
    return bytes(a ^ b for a, b in zip(body, stream, strict=True))


def _exponent(most: int) -> int:
    """The exponent of scrypt's N: the first power of two above half of ``most``, from 2 on."""
    return next((exponent for exponent in range(1, 63) if 1 << exponent > most // 2), 63)
