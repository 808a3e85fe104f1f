"""Loopback servers for the tests of the probe: polite ones, and hostile ones."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Handler = Callable[[socket.socket], None]


@dataclass(kw_only=True)
class Server:
    """Where a server listens."""

    address: str
    port: int


@contextmanager
def serving(
    handler: Handler, *, host: str = "127.0.0.1", path: Path | None = None
) -> Iterator[Server]:
    """Run `handler` for each connection in a thread of its own."""
    if path is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        port = listener.getsockname()[1]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        address, port = str(path), 0

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            handler(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Server(address=address, port=port)
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Read an HTTP request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(reply: bytes, seen: list[bytes] | None = None) -> Handler:
    """Read one request, remember it, reply, and hang up."""

    def handle(connection: socket.socket) -> None:
        request = read_request(connection)
        if seen is not None:
            seen.append(request)
        connection.sendall(reply)

    return handle


def greet(
    *, first: bytes = b"", replies: tuple[bytes, ...] = (), seen: list[bytes] | None = None
) -> Handler:
    """Send `first`; then one reply for each packet that comes."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(first)
        for reply in replies:
            data = connection.recv(65536)
            if seen is not None:
                seen.append(data)
            connection.sendall(reply)
        while connection.recv(65536):
            pass

    return handle


def flood(first: bytes, piece: bytes) -> Handler:
    """Send `first`, then `piece` without end."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while True:
            connection.sendall(piece)

    return handle


def drip(data: bytes, delay: float) -> Handler:
    """Send one byte at a time."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        for byte in data:
            connection.sendall(bytes([byte]))
            threading.Event().wait(delay)

    return handle


def http_reply(status: str = "200 OK", body: bytes = b"", header: str = "") -> bytes:
    """Return a plain response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{header}\r\n".encode() + body


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
