"""SCRAM-SHA-256, the side of the client: it proves that it knows a password, and the server that it does.

https://www.rfc-editor.org/rfc/rfc5802 https://www.rfc-editor.org/rfc/rfc7677
"""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.scheduler import Trace
from probe.system import digest, hmac_rounds, random_bytes
from probe.values import base64_bytes, base64_text, is_digits, visible_text

MOST_SCRAM_ROUNDS = 100_000  # what a server may ask for; PostgreSQL's are 4096
ROUNDS_AT_ONCE = 2000  # then the clock is looked at
LONGEST_CHALLENGE = 4096
NO_SCRAM = "it does not speak SCRAM"
NO_CHANNEL_BINDING = b"n,,"


class Scram:
    """A login that has begun. The server's texts go in, ours come out."""

    def __init__(self, password: bytes, trace: Trace) -> None:
        self.password = password
        self.trace = trace
        self.nonce = base64_text(random_bytes(18)).encode()
        self.bare = b"n=,r=" + self.nonce  # no name: the protocol around it has told that already
        self.signature = b""
        self.finished = False

    def first(self) -> bytes:
        """Return what we begin with."""
        return NO_CHANNEL_BINDING + self.bare

    def proof(self, challenge: bytes) -> bytes:
        """Answer the server's first text. A password of ASCII is its own SASLprep; others are taken as they are."""
        if len(challenge) > LONGEST_CHALLENGE:
            raise Unhealthy(NO_SCRAM)
        parts = challenge.split(b",")
        fields = [part[2:] for part in parts if part[1:2] == b"="]
        names = b"".join([part[:1] for part in parts])
        if names[:3] != b"rsi" or len(fields) != len(parts):
            raise Unhealthy(NO_SCRAM)
        nonce, salt, rounds = fields[0], base64_bytes(fields[1]), visible_text(fields[2])
        if not nonce.startswith(self.nonce) or nonce == self.nonce or not salt:
            raise Unhealthy(NO_SCRAM)
        if not is_digits(rounds) or not 1 <= int(rounds) <= MOST_SCRAM_ROUNDS:
            msg = (
                f"it asks for a number of rounds of SCRAM that is not from 1 to {MOST_SCRAM_ROUNDS}"
            )
            raise Unhealthy(msg)
        key = self._stretched(salt, int(rounds))
        final = b"c=" + base64_text(NO_CHANNEL_BINDING).encode() + b",r=" + nonce
        said = self.bare + b"," + challenge + b"," + final
        client_key = _hmac(key, b"Client Key")
        self.signature = _hmac(_hmac(key, b"Server Key"), said)
        mask = int.from_bytes(_hmac(digest("sha256", client_key), said), "big")
        proof = (int.from_bytes(client_key, "big") ^ mask).to_bytes(32, "big")
        return final + b",p=" + base64_text(proof).encode()

    def finish(self, answer: bytes) -> None:
        """Check the server's last text; raises Unhealthy when it does not know the password either."""
        if (
            not self.signature
            or answer.partition(b",")[0] != b"v=" + base64_text(self.signature).encode()
        ):
            msg = "it did not prove that it knows the password: this may be another server"
            raise Unhealthy(msg)
        self.finished = True

    def _stretched(self, salt: bytes, rounds: int) -> bytes:
        """PBKDF2, in pieces."""
        last, total = salt + b"\0\0\0\1", 0
        while rounds > 0:
            self.trace.check()
            piece = hmac_rounds(self.password, last, min(rounds, ROUNDS_AT_ONCE))
            last, total = piece[:32], total ^ int.from_bytes(piece[32:], "big")
            rounds -= ROUNDS_AT_ONCE
        return total.to_bytes(32, "big")


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac_rounds(key, data, 1)[:32]
