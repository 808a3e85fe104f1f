"""A loopback server of bare sockets: each connection is handed to a function, which may do anything with it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket, threading.Event], None]
"""A connection, and what is set once the test is over."""


@contextlib.contextmanager
def raw_server(talk: Talk) -> Iterator[int]:
    """Lend the port of a server that gives every connection to ``talk``, in a thread of its own."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            talk(connection, over)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def read_head(connection: socket.socket) -> bytes:
    """Read a request as far as its headers go."""
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
        head += data
    return head


def say(connection: socket.socket, over: threading.Event, manner: str, text: bytes) -> None:
    """Repeat ``text`` for ever: a byte now and then (``drip``) or as fast as it goes (``flood``); or be silent."""
    while not over.is_set():
        match manner:
            case "drip":
                for byte in text:
                    connection.sendall(bytes([byte]))
                    if over.wait(0.05):
                        return
            case "flood":
                connection.sendall(text * (1 + 50_000 // len(text)))
            case "close":
                return
            case _:
                over.wait(20)
