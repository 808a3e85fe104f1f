"""Fetches from mirrors that do anything: the right bytes or an error of ours, soon; the good mirror is used.

Servers are bare sockets on loopback. What a case does is drawn before its first connection, so that it can be repeated.
"""

import contextlib
import hashlib
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import trustme

from builders.sources.cache import Cache
from builders.sources.download import PartialFile
from builders.sources.fetch import Fetched, fetch
from builders.sources.mirrors import Mirrors
from core.cancel import Cancelled, CancelToken
from core.errors import FromscratchError
from core.retry import ClientOptions, RetryPolicy
from recipes.model import Source
from tests.campaigns.campaign import Campaign, Case, Run, Violation
from tests.raw_server import raw_server, read_head, say

POLICY = RetryPolicy(
    tries=2,
    connect_tries=2,
    futile_tries=2,
    connect=0.5,
    read=0.5,
    backoff=0.01,
    retry_after_cap=0.05,
    redirects=2,
    grace=0.7,
    min_rate=64.0 * 1024,
)
SLACK = 10.0
"""Seconds on a busy machine."""
LARGEST = 60_000
STATUSES = (
    *(
        100,
        101,
        102,
        103,
        199,
        201,
        203,
        204,
        205,
        206,
        226,
        299,
        300,
        301,
        302,
        303,
        304,
        305,
        307,
    ),
    *(
        308,
        399,
        400,
        401,
        403,
        404,
        407,
        408,
        410,
        416,
        418,
        425,
        429,
        451,
        499,
        500,
        501,
        502,
        503,
    ),
    *(504, 505, 507, 511, 599, 600, 999),
)
HEADERS = (
    *("Retry-After", "Location", "Content-Range", "Content-Length", "Content-Encoding", "ETag"),
    *("Content-Type", "Set-Cookie", "Transfer-Encoding", "Last-Modified", "Connection", "Link"),
    *("WWW-Authenticate", "Date", "Keep-Alive", "Trailer", "Upgrade", "Proxy-Authenticate"),
)
VALUES = (
    *(
        b"",
        b" ",
        b"0",
        b"-1",
        b"1",
        b"9" * 400,
        b"1, 1",
        b"+5",
        b"0x10",
        b"1e9",
        b"\xb2\xb3",
        b"\xff",
    ),
    *(b"http://[::1", b"http://[v1.x]/", b"//", b"http://127.0.0.1:99999/", b"file:///etc/passwd"),
    *(b"http://127.0.0.1:1/", b"https://127.0.0.1:1/", b"http:///x", b"ftp://127.0.0.1/", b"?"),
    *(b"Fri, 31 Dec 9999 23:59:59 +9999", b"Fri, 31 Dec 0000 23:59:59 -99999999999999999999"),
    *(b"Thu, 01 Jan 1970 00:00:00 GMT", b"text/html; charset", b"a; charset=", b";;=;", b"gzip"),
    *(b"chunked", b"gzip, chunked", b"chunked, x", b"identity", b"close", b"keep-alive", b'"one"'),
    *(b"bytes 0-0/1", b"bytes */0", b"bytes 5-1/3", b"bytes x", b'Basic realm="', b"\x1b[2J\x07"),
    *(b"x" * 70_000, b"a=b; expires=Fri, 31 Dec 0000 23:59:59; Max-Age=-9", b"\t folded\r\n more"),
)
MANNERS = ("close", "reset", "silence", "drip", "flood")
FLOODS = (
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", b"X: y\r\n"),
    *(b"0", b"y", b"\0", b"\r\n", b"1;xxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n", b"0\r\n\r\n", b"\xff"),
)
PAGE = b"<!doctype html><title>Log in</title>"


@dataclass(kw_only=True)
class Script:
    """What one mirror says to one request: ``text``, and what becomes of the connection afterwards."""

    text: bytes
    manner: str = "close"
    again: bytes = b"x"
    good: bool = False
    """Then ``text`` does not count: the file, or what is missing of it."""
    framing: str = "length"


@dataclass(kw_only=True)
class Place:
    """One mirror: its scripts in turn, the last one ever after."""

    scripts: list[Script]
    tls: bool = False
    refuses: bool = False
    asked: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Script:
        with self.guard:
            self.asked += 1
            return self.scripts[min(self.asked, len(self.scripts)) - 1]


def chunked(chance: random.Random, data: bytes, *, odd: bool) -> bytes:
    """``data`` in chunks; ``odd``: with something that is no chunk, somewhere."""
    out, at = [], 0
    while at < len(data):
        size = chance.randint(1, max(1, len(data) // 3))
        piece = data[at : at + size]
        extension = chance.choice((b"", b"", b";a=b", b";" + b"x" * 300))
        out.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
        at += size
    out.append(chance.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"000\r\n\r\n")))
    if odd:
        bad = (
            b"-5\r\n",
            b"zz\r\n",
            b"\r\n",
            b"ffffffffffffffffff\r\n",
            b"0x5\r\nabcde\r\n",
            b"",
            b"5\n",
        )
        out[chance.randrange(len(out))] = chance.choice(bad)
    return b"".join(out)


def full(chance: random.Random, data: bytes, framing: str, etag: bytes = b'"one"') -> bytes:
    """A right answer with ``data``, in any of the ways there are."""
    head = b"HTTP/1.1 200 OK\r\nETag: " + etag + b"\r\n"
    match framing:
        case "chunked":
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(chance, data, odd=False)
        case "close":
            return head + b"Connection: close\r\n\r\n" + data
        case "continue":
            begin = b"HTTP/1.1 100 Continue\r\n\r\n" * chance.randint(1, 3)
            return begin + full(chance, data, "length", etag)
        case _:
            return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


def hostile(chance: random.Random, data: bytes, number: int) -> Script:
    """Anything but a good answer; by chance it may hold the right bytes all the same."""
    text = hostile_text(chance, data, number)
    script = Script(text=text)
    if chance.random() < 0.55:
        where = len(text) if chance.random() < 0.5 else min(len(text), 120)
        script.text = text[: chance.randrange(where + 1)]
        script.manner = chance.choice(MANNERS)
        script.again = chance.choice(FLOODS)
    return script


def hostile_text(chance: random.Random, data: bytes, number: int) -> bytes:
    """A whole answer with something wrong in status, headers, framing, length, bytes, redirect or range."""
    framing = chance.choice(("length", "length", "chunked", "close", "continue"))
    match chance.randrange(11):
        case 0:
            status = chance.choice(STATUSES)
            text = full(chance, chance.choice((data, b"", PAGE)), framing)
            text = text.replace(b"200 OK", b"%d Odd" % status)
        case 1:
            text = full(chance, data, framing)
            for _ in range(chance.randint(1, 4)):
                name, value = chance.choice(HEADERS).encode(), chance.choice(VALUES)
                status = chance.choice((200, 200, 206, 302, 401, 404, 416, 429, 503))
                text = text.replace(b"200 OK\r\n", b"%d OK\r\n%s: %s\r\n" % (status, name, value))
        case 2:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
            if chance.random() < 0.5:
                head += b"Content-Length: %d\r\n" % chance.choice((0, 5, len(data)))
            text = head + b"\r\n" + chunked(chance, data, odd=chance.random() < 0.7)
        case 3:
            length = chance.choice(
                (0, 1, len(data) - 1, len(data) + 1, len(data) * 2, 1 << 31, 1 << 63, 10**30, -5)
            )
            text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + data
        case 4:
            wrong = bytearray(data)
            wrong[chance.randrange(len(wrong))] ^= 1 << chance.randrange(8)
            other = chance.choice(
                (bytes(wrong), bytes(len(data)), data[::-1], data + b"x", data[:-1], PAGE, b"")
            )
            text = full(chance, other, framing)
        case 5:
            to = chance.choice(VALUES)
            if chance.random() < 0.6:
                to = b"/%d/%d" % (number, chance.randrange(9))
            text = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: %d\r\n\r\n" % (
                chance.choice((301, 302, 303, 307, 308)),
                to,
                chance.choice((0, 0, 10, 10**9)),
            )
        case 6:
            span = chance.choice(
                (
                    b"bytes 0-%d/%d" % (len(data) - 1, len(data)),
                    b"bytes %d-%d/%d" % (len(data) // 3, len(data) - 1, len(data)),
                    b"bytes */%d" % len(data),
                    chance.choice(VALUES),
                )
            )
            text = full(chance, data[chance.choice((0, 1, len(data) // 3)) :], framing)
            status = chance.choice((200, 206, 206, 206, 416))
            text = text.replace(b"200 OK", b"%d Part\r\nContent-Range: %s" % (status, span))
        case 7:
            begin = chance.choice(
                (
                    b"",
                    b"HTTP/9.9 200 OK",
                    b"HTTP/1.1",
                    b"HTTP/1.1 abc",
                    b"ICY 200 OK",
                    b"\x16\x03\x03",
                )
            )
            text = begin + chance.randbytes(chance.randrange(200)) + b"\r\n\r\n" + data
        case 8:
            many = b"".join(b"X-%d: y\r\n" % i for i in range(chance.choice((90, 101, 2000))))
            text = full(chance, data, framing).replace(b"200 OK\r\n", b"200 OK\r\n" + many)
        case 9:
            # A right answer, but for its bytes on the way: any of them.
            torn = bytearray(full(chance, data, framing))
            for _ in range(chance.randint(1, 5)):
                torn[chance.randrange(min(len(torn), 200))] = chance.randrange(256)
            text = bytes(torn)
        case _:
            text = full(chance, data, framing)
    return text


def draw(chance: random.Random, data: bytes, number: int) -> list[Place]:
    """The mirrors of a case; at most one of them is good, and it is so from the first request on."""
    places = []
    for _ in range(chance.randint(1, 4)):
        scripts = [hostile(chance, data, number) for _ in range(chance.randint(1, 3))]
        tls, refuses = chance.random() < 0.1, chance.random() < 0.05
        places.append(Place(scripts=scripts, tls=tls, refuses=refuses))
    if chance.random() < 0.7:
        framing = chance.choice(("length", "length", "chunked", "close", "continue"))
        place = Place(scripts=[Script(text=b"", good=True, framing=framing)])
        place.tls = chance.random() < 0.1
        places[chance.randrange(len(places))] = place
    return places


def good_answer(chance: random.Random, data: bytes, script: Script, head: bytes) -> bytes:
    """What a sound server says: the rest of the file to who has its begin, else all of it."""
    fields = dict(
        line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line.count(b": ") == 1
    )
    span = fields.get(b"Range", b"")
    if span and fields.get(b"If-Range") == b'"good"':
        begin = int(span.removeprefix(b"bytes=").removesuffix(b"-"))
        return (
            b'HTTP/1.1 206 Part\r\nETag: "good"\r\nContent-Length: %d\r\n'
            b"Content-Range: bytes %d-%d/%d\r\n\r\n"
            % (len(data) - begin, begin, len(data) - 1, len(data))
        ) + data[begin:]
    return full(chance, data, script.framing, b'"good"')


class Stage:
    """Serves the mirrors of one case at ``/CASE/NUMBER``."""

    def __init__(self, case: Case, data: bytes, places: list[Place], tls: ssl.SSLContext) -> None:
        self.case, self.data, self.places, self.tls = case, data, places, tls

    def plain(self, connection: socket.socket, over: threading.Event) -> None:
        head = read_head(connection)
        try:
            index = int(head.split(b" ")[1].rpartition(b"/")[2])
            place = self.places[index % len(self.places)]
        except (IndexError, ValueError):
            return
        script = place.next()
        if script.good:
            framing = random.Random(f"{self.case.seed} {self.case.number}")
            connection.sendall(good_answer(framing, self.data, script, head))
            return
        connection.sendall(script.text)
        if script.manner == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            say(connection, over, script.manner, script.again)

    def secure(self, connection: socket.socket, over: threading.Event) -> None:
        with (
            contextlib.suppress(ssl.SSLError),
            self.tls.wrap_socket(connection, server_side=True) as wrapped,
        ):
            self.plain(wrapped, over)


def judge(
    cache: Cache, source: Source, data: bytes, found: Fetched | FromscratchError, *, good: bool
) -> None:
    """Raise Violation for wrong bytes, whoever names them, and when the good mirror was of no use."""
    blob = cache.blob(source.sha256)
    if blob is not None and blob.read_bytes() != data:
        msg = f"the cache has wrong bytes: {blob}"
        raise Violation(msg)
    for path in (cache.root / "cas").rglob("*"):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            msg = f"the cache calls other bytes {path.name}"
            raise Violation(msg)
    if isinstance(found, FromscratchError):
        if good:
            msg = f"the good mirror was of no use: {found}"
            raise Violation(msg)
        if blob is not None:
            msg = f"it is in the cache, and yet: {found}"
            raise Violation(msg)
        if not all(char.isprintable() or char == "\n" for char in str(found)):
            msg = f"control characters are shown: {str(found)!r}"
            raise Violation(msg)
    elif found.path.read_bytes() != data:
        msg = "wrong bytes were delivered"
        raise Violation(msg)


def run_case(case: Case, authority: Path, tls: ssl.SSLContext) -> str:
    chance = case.random
    data = chance.randbytes(chance.choice((1, 100, chance.randint(2, LARGEST), LARGEST)))
    places = draw(chance, data, case.number)
    good = any(script.good for place in places for script in place.scripts)
    stage = Stage(case, data, places, tls)
    cancel = CancelToken()

    def session() -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.verify = str(authority)
        return made

    options = ClientOptions(policy=POLICY, session=session, cancel=cancel)
    with (
        raw_server(stage.plain) as plain,
        raw_server(stage.secure) as secure,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        refusing = closed.getsockname()[1]
        closed.close()
        ports = [
            (refusing if place.refuses else secure if place.tls else plain) for place in places
        ]
        urls = tuple(
            f"http{'s' if place.tls else ''}://127.0.0.1:{port}/{case.number}/{index}"
            for index, (place, port) in enumerate(zip(places, ports, strict=True))
        )
        source = Source(
            name="x",
            version="1",
            filename=chance.choice(("x-1.tar.gz", "x.bin")),
            urls=urls,
            debian=None,
            pypi=None,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        cache = Cache(case.directory / "cache")
        if chance.random() < 0.3:
            # An earlier run has left something, right or not.
            part = PartialFile(path=cache.part(source.sha256))
            part.begin(chance.choice(urls), chance.choice(('"one"', '"good"', None)))
            begun = data[: chance.randrange(len(data) + 1)]
            part.data.write_bytes(chance.choice((begun, begun[::-1], data + b"x")))
        each = POLICY.connect + POLICY.read + 2 * POLICY.grace
        most = len(places) * 2 * POLICY.tries * (POLICY.redirects + 1) * each + SLACK
        outcome = ""
        for _ in range(chance.choice((1, 1, 2))):
            watchdog = threading.Timer(most, cancel.set)
            watchdog.start()
            began = time.monotonic()
            found: Fetched | FromscratchError
            try:
                found = fetch(source, cache, Mirrors(), options=options)
            except Cancelled as error:
                msg = f"no end after {most:.0f} s"
                raise Violation(msg) from error
            except FromscratchError as error:
                found = error
            finally:
                watchdog.cancel()
                watchdog.join()
            if time.monotonic() - began > most:
                msg = f"took {time.monotonic() - began:.1f} s, where {most:.0f} s were the most"
                raise Violation(msg)
            judge(cache, source, data, found, good=good)
            outcome = "no mirror" if isinstance(found, FromscratchError) else "right bytes"
    return outcome


@contextmanager
def opened() -> Iterator[Run]:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with authority.cert_pem.tempfile() as pem:
        yield lambda case: run_case(case, Path(pem), tls)


CAMPAIGN = Campaign(
    name="downloads",
    purpose="Fetches from mirrors that lie, dawdle, flood and break off: the right bytes or an error, soon.",
    cases=1_000,
    open=opened,
    rooms=("builders", "core"),
)
