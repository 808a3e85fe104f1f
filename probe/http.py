"""HTTP/1.1 messages (RFC 9112): requests are built, responses read, strictly and bounded."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Steps
from probe.stream import Stream
from probe.values import TOKEN_BYTES, encode_text

LONGEST_HEAD = 65536
MOST_FIELDS = 256
MOST_INTERIM = 16
LONGEST_CHUNK_LINE = 4096
CONTROL_BYTES = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"


class Response:
    """A status line and header fields (names in lower case)."""

    def __init__(self, status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields

    def field(self, name: bytes) -> bytes | None:
        """Return the values of a header, joined by commas (RFC 9110 section 5.3), or None."""
        values = [value for key, value in self.fields if key == name]
        return b", ".join(values) if values else None


def build_request(method: str, target: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
    """Return the bytes of a request. The caller has refused line breaks in every part."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in fields]]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    return encode_text("\r\n".join(lines) + "\r\n\r\n") + body


def read_response(stream: Stream) -> Steps[Response]:
    """Read the head of the final response; interim ones (1xx) are skipped."""
    for _ in range(MOST_INTERIM):
        response = parse_head((yield from _read_head(stream)))
        if response.status >= 200 or response.status == 101:
            return response
    msg = f"{stream.peer} sent {MOST_INTERIM} interim responses and no final one"
    raise Unhealthy(msg)


def _read_head(stream: Stream) -> Steps[bytes]:
    """Take all up to and with the empty line; a bare LF ends a line too (RFC 9112 section 2.2)."""
    buffer, start = stream.buffer, 0
    while True:
        ends = [
            place + size
            for mark, size in ((b"\n\r\n", 3), (b"\n\n", 2))
            if (place := buffer.find(mark, start)) >= 0
        ]
        end = min(ends, default=0)
        if max(end, 0 if end else len(buffer)) > LONGEST_HEAD:
            msg = f"{stream.peer} sent a header of more than {LONGEST_HEAD} bytes"
            raise Unhealthy(msg)
        if end:
            head = bytes(buffer[:end])
            del buffer[:end]
            return head
        if not b"HTTP/".startswith(buffer[:5]):
            raise Unhealthy(_not_http(stream.peer, bytes(buffer[:24])))
        start = max(0, len(buffer) - 2)
        if not (yield from stream.fill()):
            what = "in the middle of its header" if buffer else "without an answer"
            msg = f"{stream.peer} closed the connection {what}"
            raise Unhealthy(msg)


def _not_http(peer: str, data: bytes) -> str:
    if data[:2] in {b"\x15\x03", b"\x16\x03"}:
        return f"{peer} speaks TLS, not plain HTTP (use https://)"
    if data[3:5] == b"\x04\x00" and data[:1] == b"\0":
        return f"{peer} speaks HTTP/2 only (perhaps: probe grpc)"
    return f"{peer} does not speak HTTP: it sent {data!r}"


def parse_head(head: bytes) -> Response:
    """Read a status line and header fields, up to the empty line."""
    first, *lines = head.split(b"\n")
    fields: list[tuple[bytes, bytes]] = []
    status, reason = _parse_status_line(first.removesuffix(b"\r"))
    for raw in lines:
        line = raw.removesuffix(b"\r")
        if not line:
            break
        if line.translate(None, CONTROL_BYTES) != line:
            msg = f"bad header: control characters in {line[:40]!r}"
            raise Unhealthy(msg)
        if line[:1] in {b" ", b"\t"}:
            # obs-fold, RFC 9112 section 5.2: deprecated, and joined by one space
            if not fields:
                msg = f"bad header: it begins with a continuation line {line[:40]!r}"
                raise Unhealthy(msg)
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN_BYTES):
            msg = f"bad header line {line[:40]!r}"
            raise Unhealthy(msg)
        fields.append((name.lower(), value.strip(b" \t")))
        if len(fields) > MOST_FIELDS:
            msg = f"more than {MOST_FIELDS} header lines"
            raise Unhealthy(msg)
    return Response(status, reason, fields)


def _parse_status_line(line: bytes) -> tuple[int, bytes]:
    digits = line[9:12]
    valid = line[:9] in {b"HTTP/1.1 ", b"HTTP/1.0 "} and len(digits) == 3 and digits.isdigit()
    if (
        not valid
        or line[12:13].strip(b" ")
        or digits < b"100"
        or line.translate(None, CONTROL_BYTES) != line
    ):
        msg = f"bad status line {line[:60]!r}"
        raise Unhealthy(msg)
    return int(digits), line[13:].strip()


def body_length(response: Response, method: str) -> int:
    """Return the body's length; -1: chunked, -2: up to the end (RFC 9112 section 6.3)."""
    lengths = {piece.strip() for piece in (response.field(b"content-length") or b"").split(b",")}
    length = lengths.pop()
    if lengths or (length and (not length.isdigit() or len(length) > 18)):
        msg = f"bad Content-Length {response.field(b'content-length')!r}"
        raise Unhealthy(msg)
    if method == "HEAD" or response.status in {101, 204, 304}:
        return 0
    coding = response.field(b"transfer-encoding")
    if coding is not None:
        return -1 if coding.lower().rpartition(b",")[2].strip() == b"chunked" else -2
    return int(length) if length else -2


def read_body(stream: Stream, length: int, limit: int) -> Steps[tuple[bytes, bool]]:
    """Read a body of body_length, at most `limit` bytes; return it and whether it was cut there."""
    if length == -1:
        return (yield from _read_chunks(stream, limit))
    wanted = limit + 1 if length == -2 else min(length, limit)
    while len(stream.buffer) < wanted:
        if not (yield from stream.fill()):
            if length == -2:
                return bytes(stream.buffer), False
            msg = f"{stream.peer} closed after {len(stream.buffer)} of {length} bytes of the body"
            raise Unhealthy(msg)
    return bytes(stream.buffer[: min(wanted, limit)]), length == -2 or length > limit


def _read_chunks(stream: Stream, limit: int) -> Steps[tuple[bytes, bool]]:
    body = bytearray()
    while True:
        stream.trace.check()  # tiny chunks come faster than the deadline is looked at elsewhere
        line = (yield from stream.line(LONGEST_CHUNK_LINE)).partition(b";")[0].strip(b" \t")
        if not line or len(line) > 16 or line.translate(None, b"0123456789abcdefABCDEF"):
            msg = f"bad chunk size {line[:24]!r}"
            raise Unhealthy(msg)
        size = int(line, 16)
        if not size:
            return bytes(body), False
        room = limit - len(body)
        body += yield from stream.exactly(min(size, room))
        if size > room:
            return bytes(body), True
        if (yield from stream.line(2)):
            msg = "bad chunk: more data than its size says"
            raise Unhealthy(msg)
