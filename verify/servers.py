"""Loopback servers for smoke runs: plain and TLS ones that answer with the status named by the path."""

import base64
import datetime
import gzip
import hashlib
import secrets
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SLOW = 3.0
"""Seconds that /slow takes."""

FOX = b"ok: the quick brown fox jumps over the lazy dog, and the lazy dog is ok with the quick brown fox.\n"
"""The body of the compressed answers."""

ENCODED = {
    "gzip": gzip.compress(FOX, mtime=0),
    # Made of FOX by Node.js' zlib.brotliCompressSync with a window of 2**16, and by `zstd -19 --no-check`.
    "br": bytes.fromhex(
        "220c00a4915aac7516e6a03697ea8524ddd684e1180e3e58dc42015a72e0705ba0411686eff41e63eb58284396a8fc69"
        "248da8a9c1821b82e7c67f2cedf4085c4ea3628c4437d56aa931"
    ),
    "zstd": bytes.fromhex(
        "28b52ffd20622d0200c2c30d11907d50fa43e90fa5cffff74575e7db9a0140accbf43bf996fd89e48392e77927afa22c"
        "df4e88db6f993e6a59cb3bc3307db4ee0f270303004ca0bd9af7252ef504"
    ),
}
"""FOX in every coding of HTTP bodies: https://www.iana.org/assignments/http-parameters/#content-coding"""

COOKIES = ("wide=1; Domain=co.uk", "own=1")
"""What /cookies sets. Nobody may set the first one, not even a host in co.uk: https://publicsuffix.org/"""

# https://www.rfc-editor.org/rfc/rfc6455#section-1.3
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FRAMES = b"\x81\x02ok\x88\x02\x03\xe8"  # the text "ok", then a normal close


@dataclass(frozen=True, kw_only=True)
class SmokeServers:
    """Loopback servers that run."""

    placeholders: dict[str, str]
    """What the arguments of a smoke test can name; a machine without IPv6 has no ``http6``."""
    ca: Path
    """The certificate file of the TLS servers' CA."""
    reset: Callable[[], None]
    """Make /flaky fail again."""


class LoopbackHandler(BaseHTTPRequestHandler):
    """Answers with a length, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def answer(
        self, status: int, body: bytes, *, cookies: Sequence[str] = (), **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        for cookie in cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return "client"  # without asking a resolver


class _SmokeHandler(LoopbackHandler):
    """``/200`` answers 200, ``/flaky`` fails once, ``/slow`` takes its time.

    ``/asked`` answers with the host and the cookies it was asked with, ``/cookies`` sets some and
    leads there; ``/gzip``, ``/br`` and ``/zstd`` are compressed; ``/websocket`` sends one word.
    """

    flaky: threading.Event

    def do_GET(self) -> None:
        name = self.path[1:]
        match name:
            case "websocket":
                self._upgrade()
            case "cookies":
                self.answer(302, b"", Location="/asked", cookies=COOKIES)
            case "asked":
                self.answer(
                    200, f"[{self.headers['Host']}][{self.headers['Cookie'] or ''}]".encode()
                )
            case _ if name in ENCODED:
                self.answer(200, ENCODED[name], Content_Encoding=name)
            case _:
                self._status(name)

    def _status(self, name: str) -> None:
        if name == "slow":
            time.sleep(SLOW)
        status = 200
        if name == "flaky":
            status = 200 if self.flaky.is_set() else 503
            self.flaky.set()
        elif name[:3].isdecimal():
            status = int(name[:3])
        headers = {"Location": "/200"} if 300 <= status < 400 else {}
        self.answer(status, b"ok" if status == 200 else b"no", **headers)

    def _upgrade(self) -> None:
        key = self.headers.get("Sec-WebSocket-Key", "").encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.write(_FRAMES)
        self.close_connection = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()


class LoopbackServer(ThreadingHTTPServer):
    """With or without TLS; asks no resolver."""

    daemon_threads = True
    context: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        """Bind without asking the resolver for our own name, as http.server would."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", 0

    def get_request(self) -> tuple[Any, Any]:
        """Accept; TLS servers shake hands in the handler's thread, so that one bad client blocks nobody."""
        connection, address = super().get_request()
        if self.context:
            connection.settimeout(10)
            connection = self.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses our certificate is what some tests are about."""


class _LoopbackServer6(LoopbackServer):
    address_family = socket.AF_INET6


class _UnixServer(LoopbackServer):
    address_family = socket.AF_UNIX


@contextmanager
def serving() -> Iterator[SmokeServers]:
    """Run all servers until the block is left."""
    import trustme  # noqa: PLC0415 - only smoke runs pay for it

    class Handler(_SmokeHandler):
        """Shares its event with no other servers of this process, which are for other runs."""

        flaky = threading.Event()

    name = f"fromscratch-{secrets.token_hex(8)}"
    authority = trustme.CA()
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    certificates = {
        "https": authority.issue_cert("127.0.0.1", "localhost"),
        "expired": authority.issue_cert("127.0.0.1", not_after=past),
        "wronghost": authority.issue_cert("elsewhere.invalid"),
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        ca = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        placeholders = {"abstract": name}
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else takes it
        placeholders["closed"] = f"http://127.0.0.1:{closed.getsockname()[1]}"

        def start(server: LoopbackServer) -> Any:
            stack.enter_context(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            return server.server_address

        placeholders["port"] = str(start(LoopbackServer(("127.0.0.1", 0), Handler))[1])
        placeholders["http"] = f"http://127.0.0.1:{placeholders['port']}"
        placeholders["ws"] = f"ws://127.0.0.1:{placeholders['port']}"
        with suppress(OSError):  # a machine without IPv6
            placeholders["http6"] = (
                f"http://[::1]:{start(_LoopbackServer6(('::1', 0), Handler))[1]}"
            )
        start(_UnixServer("\0" + name, Handler))  # type: ignore[arg-type]
        for key, certificate in certificates.items():
            server = LoopbackServer(("127.0.0.1", 0), Handler)
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(server.context)
            placeholders[key] = f"https://127.0.0.1:{start(server)[1]}"
        yield SmokeServers(placeholders=placeholders, ca=ca, reset=Handler.flaky.clear)
