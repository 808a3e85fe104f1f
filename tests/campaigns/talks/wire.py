"""How the words of a server get to the probe: as they are, over TLS, or over TLS and changed on the way."""

import random
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trustme import CA, KeyType

from tests.campaigns.talks.talk import mutate

Handler = Callable[[socket.socket], None]

CHECKS_OVER_TLS = ("http", "tcp", "grpc", "redis", "memcached", "amqp")
"""Those that speak TLS from the first byte on; the others ask for it by their own protocol first."""
MYSQL_GREETING = (
    bytes.fromhex("4a0000000a382e342e300008000000")
    + b"abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15"
    + bytes(10)
)
MYSQL_GREETING += b"ijklmnopqrst\0caching_sha2_password\0"
MYSQL_GREETING = (len(MYSQL_GREETING) - 4).to_bytes(3, "little") + MYSQL_GREETING[3:]
"""Of a server that has TLS (CLIENT_SSL)."""
LEADS_NOWHERE = (
    b"\x15\x03\x03\0\2\1\x5a",
    b"\x14\x03\x03\0\1\1",
    b"\x16\x03\x03\0\0",
    b"\x17\x03\x03\0\0",
    b"\x16\x03\x03\0\4\0\0\0\0",
)
"""Records that may come again and again: a warning, ChangeCipherSpec, empty ones, a HelloRequest."""
FLIGHTS = 4
"""Of what the server sends, one of so many first pieces is changed: of its greeting, its certificate, its answer."""
PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Wire:
    """``whole``: what the server says arrives unchanged. ``words`` are for the probe."""

    secure: bool = False
    words: tuple[str, ...] = ()
    dress: Callable[[Handler], Handler] = field(default=lambda handler: handler)
    whole: bool = True


PLAIN = Wire()


def ask_for_tls(connection: socket.socket) -> None:
    """What PostgreSQL says to an SSLRequest."""
    if len(connection.recv(8, socket.MSG_WAITALL)) == 8:
        connection.sendall(b"S")


def greet_with_tls(connection: socket.socket) -> None:
    """What MySQL says until a client wants TLS: its request has 32 bytes."""
    connection.sendall(MYSQL_GREETING)
    connection.recv(36, socket.MSG_WAITALL)


MAIL_GREETING = b"220 mail.example\r\n"


def offer_tls(connection: socket.socket) -> None:
    """What a mail server says until a client wants TLS."""
    connection.sendall(MAIL_GREETING)
    connection.recv(512)
    connection.sendall(b"250-mail.example\r\n250 STARTTLS\r\n")
    connection.recv(512)
    connection.sendall(b"220 go on\r\n")


BEFORE_TLS: dict[str, Handler] = {"postgres": ask_for_tls, "mysql": greet_with_tls}
"""What the servers say that begin without TLS."""


class Authority:
    """An authority of the campaign's own, in a file, and servers that it has signed for."""

    def __init__(self, directory: Path) -> None:
        signer = CA(key_type=KeyType.ECDSA)
        self.file = directory / "ca.pem"
        signer.cert_pem.write_to_path(str(self.file))
        self.contexts = []
        for kind in KeyType:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.minimum_version = context.maximum_version = version
                signer.issue_cert("127.0.0.1", key_type=kind).configure_cert(context)
                context.set_alpn_protocols(["h2"])
                self.contexts.append(context)

    def wire(self, chance: random.Random, before: Handler | None = None, floods: float = 0) -> Wire:
        """TLS of either version, with either kind of key, believed or not looked at, changed or not.

        ``before`` speaks until TLS begins. Of the changed ones, this part is flooded by records that lead nowhere.
        """
        context, at = chance.choice(self.contexts), chance.randrange(FLIGHTS)
        whole, seed = chance.random() < 0.4, chance.getrandbits(64)
        flood = chance.choice(LEADS_NOWHERE) * 999 if chance.random() < floods else b""

        def dress(handler: Handler) -> Handler:
            def handle(connection: socket.socket) -> None:
                if before is not None:
                    before(connection)
                if whole:
                    over_tls(context, handler, connection)
                else:
                    changing(context, handler, connection, at, random.Random(seed), flood)

            return handle

        believed = ("--ca-file", str(self.file))
        words = believed if chance.random() < 0.7 else ("--insecure",)
        return Wire(secure=True, words=words, dress=dress, whole=whole)


def over_tls(context: ssl.SSLContext, handler: Handler, connection: socket.socket) -> None:
    """Speak TLS, whose end is told in TLS as well, unless the handler has already ended it otherwise."""
    with context.wrap_socket(connection, server_side=True) as session:
        handler(session)


def changing(
    context: ssl.SSLContext,
    handler: Handler,
    connection: socket.socket,
    at: int,
    chance: random.Random,
    flood: bytes = b"",
) -> None:
    """Speak TLS through a pipe, whose piece of this number towards the client is changed, or followed by a flood."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with ours, suppress(OSError):
            ours.settimeout(PATIENCE)
            over_tls(context, handler, ours)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    with theirs:
        theirs.settimeout(PATIENCE)
        number = 0
        while ready := select.select([connection, theirs], [], [], PATIENCE)[0]:
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                if end is connection:
                    theirs.sendall(data)
                    continue
                connection.sendall(mutate(chance, data) if number == at and not flood else data)
                while flood and number == at:
                    connection.sendall(flood)
                number += 1
