"""Loopback HTTP servers that misbehave to order, and clients that remember how they waited."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from core.progress import Progress
from core.retry import ClientOptions, RetryPolicy
from recipes.model import Source

DATA = bytes(range(256)) * 1200  # 300 KiB: several reads


def source_of(data: bytes = DATA, *urls: str, **fields: str) -> Source:
    return Source(
        name="curl",
        version="8.21.0",
        filename=fields.get("filename", "curl-8.21.0.tar.gz"),
        urls=urls or ("http://127.0.0.1:1/never-asked",),
        debian=fields.get("debian"),
        pypi=fields.get("pypi"),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.close_connection = True
        with server.guard:
            server.requests.append(Request(path=self.path, headers=dict(self.headers.items())))
            number = min(len(server.requests), len(server.answers)) - 1
        server.answers[number](self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def head(self, status: int, headers: Mapping[str, str | int]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def body(self, data: bytes) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.wfile.write(data)
        with server.guard:
            server.sent += len(data)


Response = Callable[[Handler], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """Gives its answers in turn, and the last one ever after."""

    daemon_threads = True

    def __init__(self, *answers: Response) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[Request] = []
        self.sent = 0
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/curl-8.21.0.tar.gz"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the point of it."""


@contextlib.contextmanager
def serving(*answers: Response) -> Iterator[Server]:
    with Server(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answer(
    data: bytes = b"", *, status: int = 200, cut: int | None = None, **headers: str | int
) -> Response:
    """A fixed answer. ``cut`` ends the body early; headers: Retry_After=1."""

    def give(handler: Handler) -> None:
        given: dict[str, str | int] = {"Content-Length": len(data)}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        handler.head(status, given)
        handler.body(data[:cut])

    return give


def file(data: bytes = DATA, *, etag: str | None = '"one"', cut: int | None = None) -> Response:
    """A server that can resume, and hangs up after ``cut`` bytes."""

    def give(handler: Handler) -> None:
        tags: dict[str, str | int] = {} if etag is None else {"ETag": etag}
        wanted = handler.headers.get("Range", "")
        if wanted and handler.headers.get("If-Range") == etag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            span = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            rest = data[begin:]
            handler.head(206, tags | {"Content-Length": len(rest), "Content-Range": span})
            handler.body(rest[:cut])
        else:
            handler.head(200, tags | {"Content-Length": len(data)})
            handler.body(data[:cut])

    return give


def endless(chunk: bytes, *, pause: float = 0.0) -> Response:
    """A body without length that ends when the client hangs up."""

    def give(handler: Handler) -> None:
        handler.head(200, {"Connection": "close"})
        with contextlib.suppress(OSError):
            while True:
                handler.body(chunk)
                if pause:
                    time.sleep(pause)

    return give


def loopback_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass
class Waits:
    """A clock that nobody has to wait for."""

    slept: list[float] = field(default_factory=list)

    def options(
        self, policy: RetryPolicy | None = None, **parts: Callable[[], float]
    ) -> ClientOptions:
        return ClientOptions(
            policy=policy or RetryPolicy(),
            session=loopback_session,
            sleep=self.slept.append,
            random=lambda: 1.0,
            monotonic=parts.get("monotonic", time.monotonic),
            now=parts.get("now", time.time),
        )


@dataclass
class Listener(Progress):
    """A progress that remembers; ``interrupt`` raises at the first bytes, as Ctrl-C would."""

    interrupt: bool = False
    notes: list[str] = field(default_factory=list)
    attempts: list[list[int]] = field(default_factory=list)
    ends: int = 0

    def started(self, label: str, size: int, origin: str = "") -> None:
        assert label in origin or origin.startswith(("file:", "pip:"))
        self.attempts.append([])

    def advanced(self, size: int) -> None:
        self.attempts[-1].append(size)
        if self.interrupt and size:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finished(self) -> None:
        self.ends += 1
