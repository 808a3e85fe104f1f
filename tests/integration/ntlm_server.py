"""A server and a proxy that let in by NTLM whom they know, and the computation that says who it is."""

import base64
import binascii
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from tests.integration.http_server import Handler, Server

SIGNATURE = b"NTLMSSP\0"
UNICODE, REQUEST_TARGET, NTLM, EXTENDED, TARGET_INFO = 0x1, 0x4, 0x200, 0x80000, 0x800000
"""https://learn.microsoft.com/openspecs/windows_protocols/ms-nlmp"""
CHALLENGE = bytes.fromhex("0123456789abcdef")


def md4(data: bytes) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc1320"""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    rounds: list[tuple[Callable[[int, int, int], int], int, list[int], list[int]]] = [
        (lambda x, y, z: x & y | ~x & z, 0, list(range(16)), [3, 7, 11, 19]),
        (
            lambda x, y, z: x & y | x & z | y & z,
            0x5A827999,
            [4 * column + row for row in range(4) for column in range(4)],
            [3, 5, 9, 13],
        ),
        (
            lambda x, y, z: x ^ y ^ z,
            0x6ED9EBA1,
            [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
            [3, 9, 11, 15],
        ),
    ]
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start : start + 64])
        a, b, c, d = state
        for mix, constant, order, shifts in rounds:
            for step, index in enumerate(order):
                total = (a + mix(b, c, d) + words[index] + constant) & 0xFFFFFFFF
                shift = shifts[step % 4]
                a, b, c, d = d, (total << shift | total >> (32 - shift)) & 0xFFFFFFFF, b, c
        state = [(x + y) & 0xFFFFFFFF for x, y in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)


def password_hash(password: str) -> bytes:
    """NTOWFv1."""
    return md4(password.encode("utf-16-le"))


def user_hash(user: str, domain: str, password: str) -> bytes:
    """NTOWFv2."""
    name = (user.upper() + domain).encode("utf-16-le")
    return hmac.digest(password_hash(password), name, "md5")


def des_response(key: bytes, challenge: bytes) -> bytes:
    """What NTLMv1 answers: the challenge under each third of a hash."""
    key = key.ljust(21, b"\0")
    answer = b""
    for start in (0, 7, 14):
        bits = int.from_bytes(key[start : start + 7], "big")
        spread = bytes((bits >> (49 - 7 * number) & 0x7F) << 1 for number in range(8))
        cipher = Cipher(TripleDES(spread * 3), modes.ECB()).encryptor()
        answer += cipher.update(challenge)
    return answer


def buffer_of(message: bytes, at: int) -> bytes:
    """What a field of length and offset points to."""
    length, _, offset = struct.unpack_from("<HHI", message, at)
    data = message[offset : offset + length]
    if len(data) != length:
        raise ValueError(at)  # it points beyond the message
    return data


def challenge_message(*, extended: bool) -> bytes:
    """The second of the three; ``extended`` asks for NTLMv2."""
    name = "DOMAIN".encode("utf-16-le")
    info = struct.pack("<HH", 2, len(name)) + name + bytes(4) if extended else b""
    flags = UNICODE | REQUEST_TARGET | NTLM | (EXTENDED | TARGET_INFO if extended else 0)
    target = struct.pack("<HHI", len(name), len(name), 48)
    details = struct.pack("<HHI", len(info), len(info), 48 + len(name))
    head = SIGNATURE + struct.pack("<I", 2) + target + struct.pack("<I", flags) + CHALLENGE
    return head + bytes(8) + details + name + info


@dataclass(kw_only=True)
class Guard:
    """Whom a server knows, what it saw, and how it asks."""

    user: str = "user"
    password: str = "secret"
    domain: str = ""
    extended: bool = True
    second: str = ""
    """Sent in place of the second message."""
    closes: bool = False
    """After the second message."""
    seen: list[int] = field(default_factory=list)
    """The number of each message that came in."""

    def accepts(self, message: bytes) -> bool:
        """Whether the third message proves that its sender knows the password."""
        lm, nt, domain, user = (buffer_of(message, at) for at in (12, 20, 28, 36))
        flags = struct.unpack_from("<I", message, 60)[0]
        coding = "utf-16-le" if flags & UNICODE else "ascii"
        told = user.decode(coding), domain.decode(coding)
        if told != (self.user, self.domain):
            return False
        if not self.extended:
            return nt == des_response(password_hash(self.password), CHALLENGE)
        key = user_hash(*told, self.password)
        proof, blob = nt[:16], nt[16:]
        short = hmac.digest(key, CHALLENGE + lm[16:], "md5") + lm[16:]
        return proof == hmac.digest(key, CHALLENGE + blob, "md5") and lm == short

    def answer(self, header: str) -> bool | str:
        """What to say to a header: come in, stay out, or one more message."""
        kind, _, text = header.partition(" ")
        if kind != "NTLM":
            return False
        try:
            message = base64.b64decode(text, validate=True)
            number = struct.unpack_from("<8xI", message)[0]
            self.seen.append(number)
            if number == 1:
                told = challenge_message(extended=self.extended)
                return self.second or "NTLM " + base64.b64encode(told).decode()
            return number == 3 and self.accepts(message)
        except (binascii.Error, struct.error, ValueError):
            return False


class NtlmHandler(Handler):
    """Like its parent, once this connection has shown who it is."""

    known = False

    def do_GET(self) -> None:
        if self._is_let_in(proxy=self.path.startswith("http://")):
            super().do_GET()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def do_CONNECT(self) -> None:
        if self._is_let_in(proxy=True):
            super().do_CONNECT()

    def _is_let_in(self, *, proxy: bool) -> bool:
        server = self.server
        assert isinstance(server, NtlmServer)
        prefix, status = ("Proxy-", 407) if proxy else ("", 401)
        header = self.headers.get(f"{prefix}Authorization", "")
        if self.known and not header:
            return True
        answer = server.guard.answer(header)
        self.known = answer is True
        if self.known:
            return True
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asks = "WWW_Authenticate" if not proxy else "Proxy_Authenticate"
        words = answer if isinstance(answer, str) else "NTLM"
        more = {"Connection": "close"} if server.guard.closes and answer else {}
        self.answer(status, b"who?", **{asks: words, **more})
        self.close_connection |= bool(more)
        return False


class NtlmServer(Server):
    """A server, and a proxy for what is asked in full."""

    def __init__(self, guard: Guard, address: Any = ("127.0.0.1", 0)) -> None:
        self.guard = guard
        super().__init__(address)
        self.RequestHandlerClass = NtlmHandler
