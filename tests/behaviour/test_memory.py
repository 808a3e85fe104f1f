"""How much memory a frozen probe takes, whatever the server sends."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.behaviour.servers import Handler, answer, flood, http_reply, read_request, serving
from tests.behaviour.test_http import HEAD, HOSTILE
from tests.behaviour.test_other_checks import SETTINGS, frame, mysql, pg
from tests.built import Built
from tests.interpreters import FROZEN, Interpreter, interpreters

ABOVE = 4 * 1024
"""In kB, at its peak: so much more than the limit of the body."""

SIZE = 2 << 20
LARGEST = ("--max-body", "2M")
"""The most that can be asked for."""

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CONTAINS = ("--contains", "x", *LARGEST)
JSON = ("--json", "0.a=2", *LARGEST)
VERBOSE = ("--verbose", "--follow", "9")
SECRETS = b"&".join(b"token%d=%d" % (number, number) for number in range(600))


def redirects(connection: socket.socket) -> None:
    """To itself, with parameters that are all secret, and as much header as there may be."""
    read_request(connection)
    header = b"X: " + b"\xff" * 50_000 + b"\r\nLocation: /?" + SECRETS + b"\r\n\r\n"
    connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + header)


def with_header(*fields: bytes) -> Handler:
    return answer(HEAD + b"\r\n".join(fields) + b"\r\n\r\nok")


CASES: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "endless headers": HOSTILE["endless headers"],
    "endless status line": HOSTILE["endless status line"],
    "endless interim": HOSTILE["endless interim"],
    "10 GB": (HOSTILE["endless body"][0], CONTAINS),
    "up to the end": (flood(HEAD + b"\r\n", b"y" * 65536), CONTAINS),
    "endless chunks": (HOSTILE["endless chunks"][0], CONTAINS),
    "huge chunk": (flood(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", b"y" * 65536), CONTAINS),
    "a long chunk line": (flood(CHUNKED, b"1;" + b"y" * 65536), ("--contains", "x")),
    "a body at the limit": (answer(http_reply(body=b"y" * SIZE)), CONTAINS),
    "a body at the limit, up to the end": (answer(HEAD + b"\r\n" + b"y" * SIZE), CONTAINS),
    "a body at the default limit": (answer(http_reply(body=b"y" * (SIZE // 2))), CONTAINS[:2]),
    "one chunk at the limit": (
        answer(CHUNKED + b"200000\r\n" + b"y" * SIZE + b"\r\n0\r\n\r\n"),
        CONTAINS,
    ),
    "many chunks": (answer(CHUNKED + b"64\r\n%b\r\n" % (b"y" * 100) * 20_000), CONTAINS),
    "tiny chunks": (answer(CHUNKED + b"1\r\ny\r\n" * 300_000), CONTAINS),
    "a large JSON": (answer(http_reply(body=b"[" + b'{"a":1},' * 200_000 + b"1]")), JSON),
    "deep JSON": (answer(http_reply(body=b"[" * 1_000_000)), ("--json", "a=b", *LARGEST)),
    "JSON of blanks": (answer(http_reply(body=b" " * (SIZE - 9) + b'[{"a":1}]')), JSON),
    "JSON of digits": (answer(http_reply(body=b'[{"a":' + b"1" * (SIZE - 9) + b"}]")), JSON),
    "JSON of escapes": (
        answer(http_reply(body=b'[{"a":"' + b"\\u0041" * 349_000 + b'"}]')),
        JSON,
    ),
    "JSON of short escapes": (
        answer(http_reply(body=b'[{"' + b"\\n" * 1_048_000 + b'":1}]')),
        JSON,
    ),
    "JSON of many keys": (
        answer(http_reply(body=b"[{%b}]" % b",".join(b'"a":[1]' for _ in range(250_000)))),
        JSON,
    ),
    "many headers": (with_header(*[b"X: " + b"y" * 200] * 250), VERBOSE),
    "headers that are no text": (with_header(*[b"X: " + b"\xff" * 1000] * 60), VERBOSE),
    "header lines without end": (with_header(*[b"a:"] * 16_000), VERBOSE),
    "a header of one line": (with_header(b"X: " + b"\xff" * 60_000), VERBOSE),
    "continued headers": (with_header(b"X: y", *[b" " + b"y" * 200] * 240), VERBOSE),
    "many lengths": (with_header(b"Content-Length: " + b"1," * 30_000 + b"2"), CONTAINS),
    "many codings": (with_header(b"Content-Encoding: " + b"," * 60_000), CONTAINS),
    "a length that is no text": (with_header(b"Content-Length: " + b"\xff" * 60_000), CONTAINS),
    "redirects": (redirects, ("--follow", "1000", "--verbose")),
    "redirects as JSON": (redirects, ("--follow", "1000", "--json-output")),
}


def in_frames(block: bytes) -> bytes:
    """A header block that ends the answer, in as many frames as it needs."""
    pieces = [block[start : start + 16_000] for start in range(0, len(block), 16_000)]
    first = frame(1, 1, 1, pieces[0])
    return first + b"".join(frame(9, 0, 1, piece) for piece in pieces[1:]) + frame(9, 4, 1, b"")


def literal(name: bytes, value: bytes, *, coded: bool = False, kept: bool = False) -> bytes:
    """A field of HPACK with a long value, which may be in Huffman's code, or kept in the table."""
    rest = len(value) - 127
    size = bytes([0xFF if coded else 0x7F, rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14])
    return (b"\x40" if kept else b"\0") + bytes([len(name)]) + name + size + value


REFUSED = b"\x88\0\x0bgrpc-status\x012"
BOMB = literal(b"a", b"x" * 4000, kept=True) + b"\xbe" * 60_000
INTERIM = frame(1, 4, 1, b"\x08\x03103" + literal(b"a", bytes(15_000), coded=True))

TALKS: dict[str, tuple[str, bytes, bytes]] = {
    "endless headers": ("grpc", SETTINGS, frame(1, 0, 1, b"\x88" * 9999)),
    "endless continuations": ("grpc", SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b"")),
    "endless pings": ("grpc", SETTINGS, frame(6, 0, 0, b"12345678") * 99),
    "endless data": ("grpc", SETTINGS, frame(0, 0, 1, bytes(16_384))),
    "endless interim": ("grpc", SETTINGS, INTERIM),
    "an HPACK bomb": ("grpc", SETTINGS + in_frames(BOMB), b""),
    "many fields": ("grpc", SETTINGS + in_frames(b"\0\1a\0" * 2000 + REFUSED), b""),
    "a long code": ("grpc", SETTINGS + in_frames(literal(b"a", bytes(60_000), coded=True)), b""),
    "percent signs": (
        "grpc",
        SETTINGS + in_frames(REFUSED + literal(b"grpc-message", b"%41" * 20_000)),
        b"",
    ),
    "a message that is no text": (
        "grpc",
        SETTINGS + in_frames(REFUSED + literal(b"grpc-message", b"\xff" * 60_000)),
        b"",
    ),
    "an error of zeros": ("postgres", pg(b"E", bytes(65_536)), b""),
    "an error of many parts": ("postgres", pg(b"E", b"C\0" * 32_768), b""),
    "endless notices": ("postgres", b"", pg(b"N", bytes(65_536))),
    "a long greeting": ("mysql", mysql(0, b"\x0a" + b"\xff" * 65_535), b""),
    "an endless line": ("redis", b"-", b"\xff" * 4096),
    "an endless version": ("memcached", b"VERSION ", b"\xff" * 4096),
    "a long frame": ("amqp", b"\1\0\0\0\1\0\0" + b"\xff" * 65_537, b""),
    "an endless banner": ("tcp", b"", b"\xff" * 65_536),
}
"""The check, what is said at first, and then without end."""


def said(first: bytes, more: bytes) -> Handler:
    """Send both, and wait for the end; the probe need not speak first."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(first)
        while more:
            connection.sendall(more)
        while connection.recv(65536):
            pass

    return handle


def peak(*words: str) -> tuple[float, float]:
    """Measured by a process of its own: this one has threads, and must not fork."""
    program = "import sys; from bench.memory import peak; print(*peak(sys.argv[1:]) or (0, 0))"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    resident, own = map(float, done.stdout.split())
    return resident, own


@pytest.fixture(params=[it for it in interpreters() if it in FROZEN])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that are handed out: one file each, without a sanitizer."""
    return Interpreter(request.param)


@pytest.fixture
def program(interpreter: Interpreter, frozen: Built) -> str:
    path = str(frozen.file(interpreter.product))
    if not peak(path, "--version")[0]:
        pytest.skip("this process may not trace another")
    return path


def highest(interpreter: Interpreter, program: str, *words: str) -> float:
    """Resident, in kB; of CPython's library what is not the file's, which is 2.4 MB by itself."""
    resident, own = peak(program, *words)
    return own if interpreter is Interpreter.NUITKA else resident


@pytest.mark.parametrize("name", list(CASES))
def test_http(interpreter: Interpreter, program: str, name: str) -> None:
    handler, options = CASES[name]
    limit = 2048 if LARGEST[0] in options else 1024
    with serving(handler) as server:
        words = ("http", f"http://{server.address}/", "--timeout", "1s", *options)
        assert 0 < highest(interpreter, program, *words) <= limit + ABOVE


@pytest.mark.parametrize("name", list(TALKS))
def test_others(interpreter: Interpreter, program: str, name: str) -> None:
    check, first, more = TALKS[name]
    with serving(said(first, more)) as server:
        expect = ("--expect", "x") if check == "tcp" else ()
        words = (check, server.address, "--timeout", "1s", "--verbose", *expect)
        assert 0 < highest(interpreter, program, *words) <= ABOVE
