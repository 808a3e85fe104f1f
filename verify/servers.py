"""Loopback servers for smoke runs: plain and TLS ones that answer with the status named by the path."""

import datetime
import secrets
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SLOW = 3.0
"""Seconds that /slow takes."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What a trial's words can name, and the certificate file of the TLS servers' CA.

    ``http6`` is not among the places of a machine without IPv6.
    """

    places: dict[str, str]
    ca: Path
    reset: Callable[[], None]
    """Make /flaky fail again."""


class _Handler(BaseHTTPRequestHandler):
    """``/200`` answers 200, ``/flaky`` fails once, ``/slow`` takes its time."""

    protocol_version = "HTTP/1.1"
    flaky: threading.Event

    def do_GET(self) -> None:
        """Answer with the status in the path."""
        if self.path == "/slow":
            time.sleep(SLOW)
        status = 200
        if self.path == "/flaky":
            status = 200 if self.flaky.is_set() else 503
            self.flaky.set()
        elif self.path[1:4].isdecimal():
            status = int(self.path[1:4])
        body = b"ok" if status == 200 else b"no"
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Swallow the body, then answer as to GET."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """Ask no resolver."""
        return "client"


class _Server(ThreadingHTTPServer):
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
        """A client that refuses our certificate is what some trials are about."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _UnixServer(_Server):
    address_family = socket.AF_UNIX


@contextmanager
def serving() -> Iterator[Servers]:
    """Run all servers until the block is left."""
    import trustme  # noqa: PLC0415 - only smoke runs pay for it

    class Handler(_Handler):
        """Its own memory: other servers of this process are about other runs."""

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
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        places = {"abstract": name}
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else takes it
        places["closed"] = f"http://127.0.0.1:{closed.getsockname()[1]}"

        def start(server: _Server) -> Any:
            stack.enter_context(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            return server.server_address

        places["http"] = f"http://127.0.0.1:{start(_Server(('127.0.0.1', 0), Handler))[1]}"
        with suppress(OSError):  # a machine without IPv6
            places["http6"] = f"http://[::1]:{start(_Server6(('::1', 0), Handler))[1]}"
        start(_UnixServer("\0" + name, Handler))  # type: ignore[arg-type]
        for key, certificate in certificates.items():
            server = _Server(("127.0.0.1", 0), Handler)
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(server.context)
            places[key] = f"https://127.0.0.1:{start(server)[1]}"
        yield Servers(places=places, ca=ca, reset=Handler.flaky.clear)
