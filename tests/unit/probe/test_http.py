from __future__ import annotations

import http.client
import socket
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.errors import Unhealthy
from probe.http import Response, body_coding, body_length, parse_head, read_body, read_response
from probe.kinds import Steps
from probe.scheduler import Trace
from probe.stream import Stream
from tests.unit.probe.driver import drive

TOKENS = st.text(string.ascii_letters + string.digits + "-_!#$%&'*+.^`|~", min_size=1, max_size=9)
VALUES = st.text(string.ascii_letters + string.digits + ' \t:;,="/', max_size=20).map(str.strip)
FRAMING_NAMES = {
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
}


def receive(
    data: bytes, *, method: str = "GET", limit: int = 1 << 20
) -> tuple[Response, bytes, bool]:
    """Read a response from a real socket that ends after these bytes."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    ours.setblocking(False)

    def steps(trace: Trace) -> Steps[tuple[Response, bytes, bool]]:
        stream = Stream(ours.fileno(), "peer", trace)
        response = yield from read_response(stream)
        length = body_length(response, method)
        body, cut = (
            (yield from read_body(stream, length, limit)) if length else (bytearray(), False)
        )
        return response, bytes(body), cut

    with ours:
        return drive(steps)


class Reply:
    """What http.client reads in place of a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: object) -> object:
        import io  # noqa: PLC0415

        return io.BytesIO(self.data)


def standard(data: bytes, method: str) -> tuple[int, list[tuple[str, str]], bytes]:
    response = http.client.HTTPResponse(Reply(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return response.status, response.getheaders(), response.read()


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Valid responses in all framings."""
    # http.client reads a chunked body even after 204 and 304, which never have one.
    status = draw(st.integers(200, 599).filter(lambda code: code not in {204, 304}))
    reason = draw(st.sampled_from(["", " ", " OK", " Not so good"]))
    pairs = draw(st.lists(st.tuples(TOKENS, VALUES), max_size=5))
    lines = [
        f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}"
        for name, value in pairs
        if name.lower() not in FRAMING_NAMES
    ]
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: Chunked")
        cut = draw(st.integers(0, len(body)))
        parts = [part for part in (body[:cut], body[cut:]) if part]
        extension = draw(st.sampled_from(["", ";a=b", " "]))
        body = (
            b"".join(f"{len(p):x}{extension}\r\n".encode() + p + b"\r\n" for p in parts)
            + b"0\r\n\r\n"
        )
    interim = draw(st.sampled_from(["", "HTTP/1.1 100 Continue\r\n\r\n"]))
    return (
        f"{interim}HTTP/1.1 {status}{reason}\r\n".encode()
        + "".join(f"{line}\r\n" for line in lines).encode()
        + b"\r\n"
        + body
    )


@given(responses(), st.sampled_from(["GET", "HEAD"]))
@settings(max_examples=300)
def test_valid_responses_are_read_as_the_standard_library_does(data: bytes, method: str) -> None:
    response, body, cut = receive(data, method=method)
    status, headers, expected = standard(data, method)
    assert (response.status, body, cut) == (status, expected, False)
    ours = [(name.decode(), value.decode()) for name, value in response.fields]
    assert ours == [(name.lower(), value.strip()) for name, value in headers]


@given(responses(), st.data())
def test_damaged_responses_are_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    damaged = (
        data[:place]
        + draw.draw(st.binary(max_size=3))
        + data[place + draw.draw(st.integers(0, 3)) :]
    )
    try:
        response, _, _ = receive(damaged)
    except Unhealthy:
        return
    assert 100 <= response.status <= 999


@given(st.binary(max_size=80))
def test_any_head_is_read_or_refused(data: bytes) -> None:
    for head in (data, b"HTTP/1.1 200 OK\r\n" + data):
        try:
            parse_head(head)
        except Unhealthy:
            continue


@pytest.mark.parametrize(("size", "limit", "cut"), [(10, 10, False), (11, 10, True), (0, 1, False)])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_bodies_are_cut_at_the_limit(size: int, limit: int, cut: bool, framing: str) -> None:
    body, head = b"x" * size, "HTTP/1.1 200 OK\r\n"
    if framing == "length":
        head += f"Content-Length: {size}\r\n"
    elif framing == "chunked":
        head += "Transfer-Encoding: chunked\r\n"
        body = b"".join(b"1\r\nx\r\n" for _ in range(size)) + b"0\r\n\r\n"
    _, seen, was_cut = receive(f"{head}\r\n".encode() + body, limit=limit)
    assert (len(seen), was_cut) == (min(size, limit), cut)


def test_folded_lines_and_bare_line_feeds() -> None:
    response = parse_head(b"HTTP/1.1 200 OK\nA: b\n\t c\r\nA: d\n\n")
    assert response.field(b"a") == b"b c, d"


def test_equal_lengths_are_one_length() -> None:
    assert (
        body_length(
            parse_head(b"HTTP/1.1 200\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\n"), "GET"
        )
        == 3
    )
    with pytest.raises(Unhealthy, match="Content-Length"):
        body_length(parse_head(b"HTTP/1.1 200\r\nContent-Length: +3\r\n\r\n"), "GET")


@pytest.mark.parametrize("status", [204, 304])
def test_some_responses_have_no_body(status: int) -> None:
    _, body, _ = receive(
        f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n".encode()
    )
    assert body == b""


CODINGS = st.sampled_from(["identity", "", " ", "gzip", "br", "Zstd", "x-unknown", "deflate"])


@given(st.lists(CODINGS, max_size=4), st.lists(CODINGS, max_size=3), st.booleans())
def test_every_coding_is_found(contents: list[str], transfers: list[str], chunked: bool) -> None:
    fields = [(b"content-encoding", coding.encode()) for coding in contents]
    if transfers or chunked:
        codings = ",".join(transfers + ["Chunked"] * chunked)
        fields.append((b"transfer-encoding", codings.encode()))
    expected = any(coding.strip() not in {"", "identity"} for coding in contents + transfers)
    assert bool(body_coding(Response(200, b"", fields))) == expected
