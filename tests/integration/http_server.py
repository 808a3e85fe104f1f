"""Loopback servers that answer with what they were asked: plain, TLS, a unix socket, a proxy."""

import base64
import contextlib
import gzip
import hashlib
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from verify.servers import LoopbackHandler, LoopbackServer

_Server = TypeVar("_Server", bound=LoopbackServer)

BASIC = "Basic " + base64.b64encode(b"user:secret").decode()
NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
SLOW = 5.0
PLAIN = b"a body that would shrink" * 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Handler(LoopbackHandler):
    """``/status/404`` answers so, ``/echo`` with the request as JSON, the others as their names say."""

    def handle_one_request(self) -> None:
        # TLS: a client that turns away in the middle of the handshake is not worth a traceback.
        with contextlib.suppress(OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length).decode("latin-1")
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(method=self.command, path=self.path, headers=headers, body=body)
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(asked)
        path = urlsplit(self.path).path
        if path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
            self.answer(status, b"ok" if status < 300 else b"no")
        elif path == "/redirect":
            self.answer(301, b"", Location="/echo")
        elif path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif path == "/slow":
            time.sleep(SLOW)
            self.answer(200, b"late")
        elif path == "/flaky":
            often = sum(asked.path == self.path for asked in server.asked)
            self.answer(200 if often > 2 else 503, b"ok" if often > 2 else b"no")
        elif path.startswith("/later/"):
            again = formatdate(time.time() + 4, usegmt=True) if path.endswith("date") else "2"
            often = sum(asked.path == self.path for asked in server.asked)
            status = 200 if often > 1 else 503
            self.answer(status, b"", **({} if often > 1 else {"Retry_After": again}))
        elif path == "/gzip":
            self.answer(200, gzip.compress(PLAIN), Content_Encoding="gzip")
        elif path == "/set-cookie":
            self.answer(302, b"", Location="/echo", Set_Cookie="flavour=oats; Path=/")
        elif path == "/basic" and headers.get("authorization") != BASIC:
            self.answer(401, b"", WWW_Authenticate='Basic realm="test"')
        elif path.startswith("/digest/") and not digest_is_right(headers.get("authorization", "")):
            algorithm = path.rpartition("/")[2]
            challenge = f'Digest realm="test", nonce="{NONCE}", qop="auth", algorithm={algorithm}'
            self.answer(401, b"", WWW_Authenticate=challenge)
        else:
            self.answer(200, json.dumps(vars(asked)).encode(), X_Server="loopback")

    def answer(
        self, status: int, body: bytes, *, cookies: Sequence[str] = (), **headers: str
    ) -> None:
        server = self.server
        assert isinstance(server, Server)
        super().answer(status, body, cookies=cookies, **{**server.headers, **headers})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def do_CONNECT(self) -> None:
        """Join both ends, as a proxy does."""
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(Asked(method="CONNECT", path=self.path, headers={}, body=""))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as far:
            self.send_response(200)
            self.end_headers()
            pairs = {self.connection: far, far: self.connection}
            while ready := select.select(list(pairs), [], [], 5)[0]:
                for end in ready:
                    if not (data := end.recv(65536)):
                        self.close_connection = True
                        return
                    pairs[end].sendall(data)


class Server(LoopbackServer):
    def __init__(self, address: Any, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.address_family = family
        self.asked: list[Asked] = []
        self.headers: dict[str, str] = {}  # of every answer; "_" is "-"
        super().__init__(address, Handler)

    @property
    def port(self) -> int:
        port = self.socket.getsockname()[1]
        assert isinstance(port, int)
        return port


def serve_until(stack: contextlib.ExitStack, server: _Server) -> _Server:
    """Run a server beside the test until ``stack`` ends."""
    stack.enter_context(server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    stack.callback(server.shutdown)
    return server


@dataclass
class Servers:
    """Starts servers; all of them end with the block."""

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def plain(self, host: str = "127.0.0.1") -> Server:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return self._start(Server((host, 0), family))

    def unix(self, path: Path) -> Server:
        server = self._start(Server(str(path), socket.AF_UNIX))
        path.chmod(0o777)  # the program is not us
        return server

    def tls(self, context: ssl.SSLContext) -> Server:
        server = Server(("127.0.0.1", 0))
        server.context = context
        return self._start(server)

    def closed(self) -> int:
        """A port that is taken, and that nobody listens on."""
        held = self.stack.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert isinstance(port, int)
        return port

    def _start(self, server: Server) -> Server:
        return serve_until(self.stack, server)


@contextlib.contextmanager
def serving() -> Iterator[Servers]:
    servers = Servers()
    with servers.stack:
        yield servers


def digest_is_right(header: str) -> bool:
    """Check RFC 7616 with qop=auth for user:secret."""
    fields: dict[str, str] = dict(re.findall(r'(\w+)="?([^",]*)"?', header.removeprefix("Digest ")))
    if fields.get("nonce") != NONCE:
        return False

    def hashed(*words: str) -> str:
        name = fields["algorithm"].replace("-", "").lower()
        return hashlib.new(name, ":".join(words).encode(), usedforsecurity=False).hexdigest()

    first, second = hashed("user", "test", "secret"), hashed("GET", fields["uri"])
    expected = hashed(first, NONCE, fields["nc"], fields["cnonce"], fields["qop"], second)
    return fields.get("response") == expected
