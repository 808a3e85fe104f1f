"""DSSE envelopes: a statement and who stands by it, as one line of JSON.

https://github.com/secure-systems-lab/dsse/blob/master/envelope.md, by `securesystemslib`.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from core.errors import PublishError
from core.signing import PublicKey, SecretKey

IN_TOTO = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What was in an envelope, and whether anybody we know signed it."""

    statement: dict[str, Any]
    signed: bool
    """It carries signatures, whosever they are."""


def envelope(statement: bytes, key: SecretKey | None) -> bytes:
    """Return ``statement`` (JSON) in an envelope, as one line with its newline.

    Without a key it has no signature: nobody stands by it, and nobody is made up who would.
    """
    made = Envelope(payload=statement, payload_type=IN_TOTO, signatures={})
    if key is not None:
        made.sign(CryptoSigner(key.crypto()))
    return _line(made.to_dict())


def open_envelope(line: bytes, key: PublicKey | None) -> Opened:
    """Return what an envelope says. Raises PublishError when it is none, or when ``key`` did not sign it.

    Without ``key`` nobody's signature is checked. The line must be exactly what `envelope` writes.
    """
    try:
        made = Envelope.from_dict(json.loads(line))
        statement = json.loads(made.payload)
        if _line(made.to_dict()) != line or made.payload_type != IN_TOTO:
            msg = "The envelope is not as we write them."
            raise PublishError(msg)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        msg = f"This is not an envelope with a statement: {type(error).__name__}"
        raise PublishError(msg) from error
    if not isinstance(statement, dict):
        msg = "The envelope holds no statement."
        raise PublishError(msg)
    if len(made.signatures) > 1:
        msg = "The envelope has more than one signature."
        raise PublishError(msg, why="ours have one; the others would go unchecked")
    if key is not None:
        try:
            made.verify([SSlibKey.from_crypto(key.crypto())], 1)
        except VerificationError as error:
            why = "it was signed by another key" if made.signatures else "it is not signed"
            msg = f"The envelope is not signed by the key {key.name}."
            raise PublishError(msg, why=why) from error
    return Opened(statement=statement, signed=bool(made.signatures))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def payloads(lines: bytes) -> list[bytes]:
    """Return what is in each line's envelope, unchecked; what is no envelope is left out."""
    found = []
    for line in lines.splitlines():
        try:
            found.append(base64.b64decode(json.loads(line)["payload"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found
