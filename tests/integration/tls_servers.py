"""Servers that say what a client did in its handshake: Python's, and Debian's `openssl s_server`."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.certificates import HOST
from tests.integration.real_server import free_port, program

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"


@dataclass
class Counting:
    """A server that closes after each answer, and notes of each whether its session was resumed, and its cipher."""

    port: int
    resumed: list[bool] = field(default_factory=list)
    ciphers: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/"


@contextmanager
def counting(context: ssl.SSLContext) -> Iterator[Counting]:
    with socket.create_server((HOST, 0)) as listener:
        server = Counting(port=listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection, context.wrap_socket(connection, server_side=True) as session:
                    session.recv(65536)
                    server.resumed.append(bool(session.session_reused))
                    server.ciphers.append((session.cipher() or ("",))[0])
                    session.sendall(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                    session.sendall(b"resuming")
                    with suppress(OSError):
                        session.unwrap().close()  # a session that is cut off is not kept

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


@contextmanager
def openssl_server(
    leaf: bytes, directory: Path, *words: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`openssl s_server`, which a command is told on its standard input; ``leaf`` is a key and its certificate."""
    pem = directory / "server.pem"
    pem.write_bytes(leaf)
    port = free_port()
    command = [
        program("openssl"),
        "s_server",
        "-accept",
        f"{HOST}:{port}",
        "-cert",
        str(pem),
        *words,
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        try:
            assert server.stdout is not None
            while b"ACCEPT" not in server.stdout.readline():
                assert server.poll() is None
            yield f"https://{HOST}:{port}/", server
        finally:
            server.kill()
