"""HTTP/3 servers of aioquic's, each in a thread of its own, that answer by the path."""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer as Listener
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, QuicEvent
from aioquic.tls import SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from trustme import LeafCert

HOST = "127.0.0.1"
SECONDS = 20.0
INTERNAL_ERROR = 0x102
"""https://www.rfc-editor.org/rfc/rfc9114#section-8.1"""


@dataclass(kw_only=True)
class Asked:
    """One request as it came in."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@dataclass(kw_only=True)
class QuicServer:
    """Where it listens, and what it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    handshakes: int = 0
    resumed: list[bool] = field(default_factory=list)
    """Of each handshake."""
    early: list[bool] = field(default_factory=list)
    """Of each handshake: whether data that came before its end was taken."""


class _Protocol(QuicConnectionProtocol):
    """``/echo`` tells what it was asked, ``/bytes/N`` and ``/headers/N`` are that long.

    ``/close`` and ``/cut`` end the connection before an answer and in the midst of one; ``/reset`` ends the stream;
    ``/silent`` says nothing; ``/keys`` changes keys before it answers.
    """

    def __init__(self, quic: QuicConnection, server: QuicServer) -> None:
        super().__init__(quic)
        self.quic = quic
        self.server = server
        self.http: H3Connection | None = None
        self.streams: dict[int, Asked] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self.server.handshakes += 1
            self.server.resumed.append(event.session_resumed)
            self.server.early.append(event.early_data_accepted)
        self.http = self.http or H3Connection(self.quic)
        for heard in self.http.handle_event(event):
            self._hear(self.http, heard)

    def _hear(self, http: H3Connection, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            headers = {name.decode(): value.decode() for name, value in event.headers}
            method, path = headers.get(":method", ""), headers.get(":path", "")
            self.streams[event.stream_id] = Asked(method=method, path=path, headers=headers)
        elif isinstance(event, DataReceived):
            self.streams[event.stream_id].body += event.data
        else:
            return
        if event.stream_ended:
            asked = self.streams.pop(event.stream_id)
            self.server.asked.append(asked)
            self._answer(http, event.stream_id, asked)

    def _answer(self, http: H3Connection, stream: int, asked: Asked) -> None:
        _, kind, *rest = asked.path.split("/")
        match kind:
            case "silent":
                return
            case "close":
                self.quic.close(error_code=INTERNAL_ERROR)
            case "reset":
                self.quic.reset_stream(stream, INTERNAL_ERROR)
            case "cut":
                http.send_headers(stream, [(b":status", b"200"), (b"content-length", b"100")])
                http.send_data(stream, b"half", end_stream=False)
                self.transmit()
                self.quic.close(error_code=INTERNAL_ERROR)
            case "status":
                self._say(http, stream, b"ok", status=rest[0])
            case "bytes":
                self._say(http, stream, pattern(int(rest[0])))
            case "headers":
                self._say(http, stream, b"ok", x_long="x" * int(rest[0]))
            case "keys":
                self.quic.request_key_update()
                self._say(http, stream, b"new keys")
            case _:
                told = {
                    "method": asked.method,
                    "path": asked.path,
                    "size": len(asked.body),
                    "sha256": hashlib.sha256(asked.body).hexdigest(),
                    "headers": asked.headers,
                }
                self._say(http, stream, json.dumps(told).encode())

    def _say(
        self, http: H3Connection, stream: int, body: bytes, *, status: str = "200", **more: str
    ) -> None:
        headers = {"content-length": str(len(body)), **more}
        rows = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        http.send_headers(stream, [(b":status", status.encode()), *rows])
        http.send_data(stream, body, end_stream=True)


def pattern(size: int) -> bytes:
    """So many bytes, none of which stands where its neighbour could."""
    return b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]


def _configuration(leaf: LeafCert) -> QuicConfiguration:
    chain = [x509.load_pem_x509_certificate(blob.bytes()) for blob in leaf.cert_chain_pems]
    return QuicConfiguration(
        is_client=False,
        alpn_protocols=H3_ALPN,
        certificate=chain[0],
        certificate_chain=chain[1:],
        private_key=serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None),
    )


@contextmanager
def quic_server(leaf: LeafCert, *, port: int = 0, retry: bool = False) -> Iterator[QuicServer]:
    """Serve as whom the certificate names; ``retry`` has clients prove their addresses first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind((HOST, port))
        server = QuicServer(port=datagrams.getsockname()[1])
        started, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
        tickets: dict[bytes, SessionTicket] = {}

        def protocol(quic: QuicConnection, **_: Any) -> _Protocol:
            return _Protocol(quic, server)

        async def serve() -> None:
            listener = Listener(
                configuration=_configuration(leaf),
                create_protocol=protocol,
                session_ticket_fetcher=lambda label: tickets.pop(label, None),
                session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
                retry=retry,
            )
            transport, _ = await loop.create_datagram_endpoint(
                lambda: listener, sock=datagrams.dup()
            )
            started.set()
            await over.wait()
            listener.close()
            transport.abort()
            await asyncio.sleep(0)  # what was closed is closed one turn later

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert started.wait(SECONDS)
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(SECONDS)
            assert not thread.is_alive()


@contextmanager
def silent_port() -> Iterator[int]:
    """Where datagrams arrive and nobody ever answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]
