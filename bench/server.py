"""The loopback server of the measured requests: a process of its own, so that it costs the measured ones nothing."""

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from flow.context import ROOT

CIPHER = "TLS_AES_256_GCM_SHA384"
"""The only one that much data is sent by."""

BULK = 300_000_000
"""Bytes of that."""

PIECE = b"ok" * 500_000


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Run the servers until the block is left; they also end with this process, whose pipe they read."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.server", directory],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                msg = "the loopback server did not start"
                raise RuntimeError(msg)
            yield json.loads(line)
        finally:
            process.kill()
            process.communicate()


def serve(directory: Path) -> None:
    """Answer 200 on loopback ports, without and with TLS, and with `BULK` over TLS, until standard input ends."""
    authority = trustme.CA()
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)  # P-256
    leaf.configure_cert(context)
    urls = {"ca": str(ca)}
    for name, wrap, size in (("http", None, 2), ("https", context, 2), ("bulk", context, BULK)):
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        scheme = "https" if wrap else "http"
        urls[name] = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/health"
        threading.Thread(target=answer, args=(listener, wrap, size), daemon=True).start()
    print(json.dumps(urls), flush=True)
    sys.stdin.buffer.read()


def answer(listener: socket.socket, context: ssl.SSLContext | None, size: int) -> None:
    """One connection after the other: the runs come one by one."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(10)
            with (
                context.wrap_socket(connection, server_side=True)
                if context
                else connection as stream
            ):
                request = b""
                while b"\r\n\r\n" not in request and (piece := stream.recv(4096)):
                    request += piece
                if size < len(PIECE):
                    stream.sendall(head.encode() + PIECE[:size])
                elif isinstance(stream, ssl.SSLSocket) and (stream.cipher() or ("",))[0] == CIPHER:
                    send(stream, head.encode(), size)
        except OSError:
            pass  # a client that refuses our certificate


def send(stream: socket.socket, head: bytes, size: int) -> None:
    """Send so many bytes behind ``head``."""
    stream.sendall(head)
    while size > 0:
        stream.sendall(PIECE[:size])
        size -= len(PIECE)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
