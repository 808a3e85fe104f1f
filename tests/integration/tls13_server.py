"""A TLS 1.3 server that sends what it is told to, record by record, right or wrong: RFC 8446.

One suite: X25519 or X25519MLKEM768, a P-256 certificate, AES-128-GCM with SHA-256.
"""

import hashlib
import hmac
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from trustme import LeafCert

ALERT, HANDSHAKE, DATA = 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, TICKET, EXTENSIONS, CERTIFICATE, VERIFY, FINISHED, KEY_UPDATE = (
    *(1, 2, 4, 8, 11, 15, 20, 24),
)
SUITE, ECDSA_P256_SHA256 = 0x1301, 0x0403
X25519, X25519MLKEM768 = 29, 0x11EC
SERVER_NAME, GROUPS, SIGNATURES, SUPPORTED_VERSIONS, KEY_SHARE = 0, 10, 13, 43, 51
MLKEM768_SIZE = 1184
"""Of a public key; of the 32 bytes of X25519 behind it see the draft of ECDHE-MLKEM for TLS."""
OLD_VERSION, VERSION = b"\x03\x03", b"\x03\x04"
SIZE = hashlib.sha256().digest_size
SECONDS = 30


def vector(data: bytes, width: int) -> bytes:
    """The data behind its length."""
    return len(data).to_bytes(width, "big") + data


def message(kind: int, body: bytes = b"") -> bytes:
    """A message of the handshake."""
    return bytes([kind]) + vector(body, 3)


def key_update(requested: int = 0) -> bytes:
    return message(KEY_UPDATE, bytes([requested]))


def expand(secret: bytes, label: str, context: bytes = b"", size: int = SIZE) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1, of up to a hash."""
    info = size.to_bytes(2, "big") + vector(b"tls13 " + label.encode(), 1) + vector(context, 1)
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


@dataclass
class Keys:
    """The keys of one direction."""

    secret: bytes
    number: int = 0

    def next(self) -> None:
        """What a KeyUpdate leads to."""
        self.secret, self.number = expand(self.secret, "traffic upd"), 0

    def _nonce(self) -> bytes:
        iv = int.from_bytes(expand(self.secret, "iv", size=12), "big")
        self.number += 1
        return (iv ^ (self.number - 1)).to_bytes(12, "big")

    def seal(self, kind: int, data: bytes) -> bytes:
        """A record."""
        head = bytes([DATA]) + OLD_VERSION + (len(data) + 1 + 16).to_bytes(2, "big")
        key = AESGCM(expand(self.secret, "key", size=16))
        return head + key.encrypt(self._nonce(), data + bytes([kind]), head)

    def open(self, head: bytes, data: bytes) -> tuple[int, bytes]:
        """The kind and the content of a record."""
        key = AESGCM(expand(self.secret, "key", size=16))
        plain = key.decrypt(self._nonce(), data, head).rstrip(b"\0")
        return plain[-1], plain[:-1]


Wedge = dict[int, bytes]
"""Before which message of the server's handshake what else is sent, as messages."""


@dataclass
class Session:
    """A connection: first the handshake, then records."""

    connection: socket.socket
    group: int = X25519
    ours: Keys = field(init=False)
    theirs: Keys = field(init=False)
    hello: "Hello" = field(init=False)
    transcript: bytes = b""

    def receive(self) -> tuple[int, bytes]:
        """The next record of the client, decrypted. Raises EOFError."""
        while True:
            head = self._exactly(5)
            data = self._exactly(int.from_bytes(head[3:], "big"))
            if head[0] == DATA:
                return self.theirs.open(head, data)
            if head[0] in {ALERT, HANDSHAKE}:  # in the clear
                return head[0], data

    def send(self, kind: int, data: bytes) -> None:
        self.connection.sendall(self.ours.seal(kind, data))

    def update(self, requested: int = 0) -> None:
        """Change keys as one does."""
        self.send(HANDSHAKE, key_update(requested))
        self.ours.next()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.connection.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def shake_hands(self, leaf: LeafCert, wedge: Wedge) -> None:
        """Raises EOFError or OSError when the client turns away."""
        pem = leaf.private_key_pem.bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        kind, hello = self.receive()
        assert (kind, hello[0]) == (HANDSHAKE, CLIENT_HELLO)
        self.transcript += hello
        self.hello = Hello.read(hello[4:])
        public, shared = exchange(self.group, self.hello.shares[self.group])
        extensions = extension(SUPPORTED_VERSIONS, VERSION)
        extensions += extension(KEY_SHARE, self.group.to_bytes(2, "big") + vector(public, 2))
        body = OLD_VERSION + bytes(range(32)) + vector(self.hello.session_id, 1)
        body += SUITE.to_bytes(2, "big") + b"\0" + vector(extensions, 2)
        self._in_the_clear(wedge.get(SERVER_HELLO, b""))
        self._in_the_clear(self._noted(message(SERVER_HELLO, body)))
        empty = hashlib.sha256().digest()
        early = hmac.digest(bytes(SIZE), bytes(SIZE), "sha256")
        secret = hmac.digest(expand(early, "derived", empty), shared, "sha256")
        client = expand(secret, "c hs traffic", self._hash())
        self.ours = Keys(expand(secret, "s hs traffic", self._hash()))
        self._say(message(EXTENSIONS, vector(b"", 2)), wedge)
        chain = x509.load_pem_x509_certificates(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        )
        shown = [one.public_bytes(serialization.Encoding.DER) for one in chain]
        listed = b"".join(vector(one, 3) + vector(b"", 2) for one in shown)
        self._say(message(CERTIFICATE, vector(b"", 1) + vector(listed, 3)), wedge)
        proof = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + self._hash()
        signed = key.sign(proof, ec.ECDSA(hashes.SHA256()))
        self._say(message(VERIFY, ECDSA_P256_SHA256.to_bytes(2, "big") + vector(signed, 2)), wedge)
        proof = hmac.digest(expand(self.ours.secret, "finished"), self._hash(), "sha256")
        self._say(message(FINISHED, proof), wedge)
        master = hmac.digest(expand(secret, "derived", empty), bytes(SIZE), "sha256")
        self.ours = Keys(expand(master, "s ap traffic", self._hash()))
        self.theirs = Keys(client)
        kind, finished = self.receive()
        expected = hmac.digest(expand(client, "finished"), self._hash(), "sha256")
        if (kind, finished) != (HANDSHAKE, message(FINISHED, expected)):
            raise ConnectionAbortedError
        self.theirs = Keys(expand(master, "c ap traffic", self._hash()))

    def _hash(self) -> bytes:
        return hashlib.sha256(self.transcript).digest()

    def _noted(self, data: bytes) -> bytes:
        self.transcript += data
        return data

    def _in_the_clear(self, data: bytes) -> None:
        if data:
            self.connection.sendall(bytes([HANDSHAKE]) + OLD_VERSION + vector(data, 2))

    def _say(self, said: bytes, wedge: Wedge) -> None:
        if said[0] in wedge:
            self.send(HANDSHAKE, wedge[said[0]])
        self.send(HANDSHAKE, self._noted(said))


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(data, 2)


def exchange(group: int, share: bytes) -> tuple[bytes, bytes]:
    """What the client is told, and what both then know."""
    own = X25519PrivateKey.generate()
    public = own.public_key().public_bytes_raw()
    if group == X25519:
        return public, own.exchange(X25519PublicKey.from_public_bytes(share))
    secret, wrapped = MLKEM768PublicKey.from_public_bytes(share[:MLKEM768_SIZE]).encapsulate()
    other = X25519PublicKey.from_public_bytes(share[MLKEM768_SIZE:])
    return wrapped + public, secret + own.exchange(other)


def numbers(data: bytes) -> list[int]:
    """Of two bytes each."""
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@dataclass(frozen=True, kw_only=True)
class Hello:
    """What a client offers."""

    session_id: bytes
    suites: list[int]
    extensions: dict[int, bytes]

    @classmethod
    def read(cls, body: bytes) -> "Hello":
        """Read the body of a ClientHello."""
        at = 34  # a version, a random number
        session_id = body[at + 1 : at + 1 + body[at]]
        at += 1 + len(session_id)
        (size,) = numbers(body[at : at + 2])
        suites = numbers(body[at + 2 : at + 2 + size])
        at += 2 + size
        at += 1 + body[at] + 2  # compression, the extensions' size
        extensions = {}
        while at < len(body):
            kind, size = numbers(body[at : at + 4])
            extensions[kind], at = body[at + 4 : at + 4 + size], at + 4 + size
        return cls(session_id=session_id, suites=suites, extensions=extensions)

    @property
    def groups(self) -> list[int]:
        return numbers(self.extensions[GROUPS][2:])

    @property
    def signatures(self) -> list[int]:
        return numbers(self.extensions[SIGNATURES][2:])

    @property
    def versions(self) -> list[int]:
        return numbers(self.extensions[SUPPORTED_VERSIONS][1:])

    @property
    def shares(self) -> dict[int, bytes]:
        """Its key for each group that it has one for, in its order."""
        data, found = self.extensions[KEY_SHARE][2:], {}
        while data:
            group, size = numbers(data[:4])
            found[group], data = data[4 : 4 + size], data[4 + size :]
        return found


Talk = Callable[[Session], None]


@dataclass
class Talker:
    """Where it listens, and what came of its one connection."""

    port: int
    shook_hands: bool = False
    finished: bool = False
    """It has said all that it had to say."""
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    """What the client sent after that, record by record, until it closed."""

    @classmethod
    @contextmanager
    def serving(
        cls, leaf: LeafCert, talk: Talk, wedge: Wedge | None = None, group: int = X25519
    ) -> Iterator[Self]:
        """Serve one connection as ``talk`` does."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            talker = cls(port=listener.getsockname()[1])

            def serve() -> None:
                # the client may turn away at any point
                with suppress(OSError, EOFError), listener.accept()[0] as connection:
                    listener.close()  # whoever comes again is refused
                    connection.settimeout(SECONDS)
                    session = Session(connection, group)
                    session.shake_hands(leaf, wedge or {})
                    talker.shook_hands = True
                    talk(session)
                    talker.finished = True
                    while True:
                        talker.heard.append(session.receive())

            thread = Thread(target=serve, daemon=True)
            thread.start()
            try:
                yield talker
            finally:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(2 * SECONDS)
                assert not thread.is_alive()


def in_pieces(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The data, cut into pieces of these sizes and a rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]
