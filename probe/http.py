"""HTTP/1.1 messages (RFC 9112): requests are built, responses read, strictly and bounded."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Steps
from probe.stream import Stream
from probe.values import HEX_DIGITS, TOKEN_BYTES, has_controls, quoted

LONGEST_HEAD = 65536
MOST_FIELDS = 256
MOST_INTERIM = 16
MOST_LIST = 16  # members of a list that are told apart; what follows makes the last one nonsense
LONGEST_CHUNK_LINE = 4096
FIRST_ROOM = 16384  # of a body: most are smaller
WIDE_CHARSETS = (
    b"utf-16",
    b"utf16",
    b"utf-32",
    b"utf32",
    b"utf-7",
    b"ucs-",
    b"iso-10646",
    b"unicode",
)


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


def build_request(method: str, target: str, fields: list[tuple[str, bytes]], body: bytes) -> bytes:
    """Return the bytes of a request. The caller has refused line breaks in every part."""
    lines = [f"{method} {target} HTTP/1.1".encode()]
    for name, value in fields:
        lines.append(name.encode() + b": " + value)
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


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
        crlf, lf = buffer.find(b"\n\r\n", start), buffer.find(b"\n\n", start)
        end = min([place for place in (crlf + 3, lf + 2) if place > 2], default=0)
        if max(end, 0 if end else len(buffer)) > LONGEST_HEAD:
            msg = f"{stream.peer} sent a header of more than {LONGEST_HEAD} bytes"
            raise Unhealthy(msg)
        if end:
            return stream.take(end)
        if not b"HTTP/".startswith(bytes(buffer[:5])):
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
    return f"{peer} does not speak HTTP: it sent {quoted(data)}"


def parse_head(head: bytes) -> Response:
    """Read a status line and header fields, up to the empty line."""
    first, *lines = head.split(b"\n", MOST_FIELDS + 2)
    fields: list[tuple[bytes, bytes]] = []
    status, reason = _parse_status_line(_without_return(first))
    for number, raw in enumerate(lines):
        if number > MOST_FIELDS:  # continuation lines, too: each is a copy of what it continues
            msg = f"more than {MOST_FIELDS} header lines"
            raise Unhealthy(msg)
        line = _without_return(raw)
        if not line:
            break
        if has_controls(line):
            msg = f"bad header: control characters in {quoted(line[:40])}"
            raise Unhealthy(msg)
        if line[:1] in {b" ", b"\t"}:
            # obs-fold, RFC 9112 section 5.2: deprecated, and joined by one space
            if not fields:
                msg = f"bad header: it begins with a continuation line {quoted(line[:40])}"
                raise Unhealthy(msg)
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip(TOKEN_BYTES):
            msg = f"bad header line {quoted(line[:40])}"
            raise Unhealthy(msg)
        fields.append((name.lower(), value.strip(b" \t")))
    return Response(status, reason, fields)


def _without_return(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\r") else line


def _parse_status_line(line: bytes) -> tuple[int, bytes]:
    digits = line[9:12]
    valid = line[:9] in {b"HTTP/1.1 ", b"HTTP/1.0 "} and len(digits) == 3 and digits.isdigit()
    if not valid or line[12:13].strip(b" ") or digits < b"100" or has_controls(line):
        msg = f"bad status line {quoted(line[:60])}"
        raise Unhealthy(msg)
    return int(digits.decode()), line[13:].strip()


def body_length(response: Response, method: str) -> int:
    """Return the body's length; -1: chunked, -2: up to the end (RFC 9112 section 6.3)."""
    given = response.field(b"content-length") or b""
    lengths = {piece.strip() for piece in given.split(b",", MOST_LIST)}
    length = lengths.pop()
    if lengths or (length and (not length.isdigit() or len(length) > 18)):
        msg = f"bad Content-Length {quoted(given)}"
        raise Unhealthy(msg)
    if method == "HEAD" or response.status in {101, 204, 304}:
        return 0
    coding = response.field(b"transfer-encoding")
    if coding is not None:
        return -1 if coding.lower().rpartition(b",")[2].strip() == b"chunked" else -2
    return int(length.decode()) if length else -2


def body_coding(response: Response) -> bytes:
    """Return what must be undone before the body is the text that it stands for; nothing when that is not needed.

    Content codings (RFC 9110 section 8.4), transfer codings but the last chunked one, and charsets that write ASCII in
    other bytes than ASCII has.
    """
    coding = (response.field(b"content-encoding") or b"").lower()
    transfer = (response.field(b"transfer-encoding") or b"").lower()
    if transfer.rpartition(b",")[2].strip() == b"chunked":
        transfer = transfer.rpartition(b",")[0]
    for name in (coding + b"," + transfer).split(b",", MOST_LIST):
        if name.strip() not in {b"", b"identity"}:
            return name.strip()
    _, found, charset = (response.field(b"content-type") or b"").lower().partition(b"charset=")
    charset = charset.strip(b" \t\"'")
    for wide in WIDE_CHARSETS:
        if found and charset.startswith(wide):
            return wide
    return b""


class Body:
    """What has come of a body, up to `limit` bytes of it.

    Less than twice the limit is held at a time, and a byte is copied a few times at most, whatever the pieces are.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.room = bytearray(min(limit, FIRST_ROOM))
        self.size = 0

    def take(self, stream: Stream, most: int) -> int:
        """Move up to `most` bytes here out of the buffer of the stream; return how many."""
        size = min(most, len(stream.buffer), self.limit - self.size)
        end = self.size + size
        if end > len(self.room):
            larger = bytearray(min(self.limit, 2 * end))
            larger[: len(self.room)] = self.room
            self.room = larger
        self.room[self.size : end] = stream.take(size)
        self.size = end
        return size

    def whole(self) -> bytearray:
        """Return all of it, which is no copy: nothing may be added any more."""
        self.room[self.size :] = b""
        return self.room


def read_body(stream: Stream, length: int, limit: int) -> Steps[tuple[bytearray, bool]]:
    """Read a body of body_length, at most `limit` bytes; return it and whether it was cut there."""
    body = Body(limit)
    if length == -1:
        return (yield from _read_chunks(stream, body))
    wanted = limit + 1 if length == -2 else min(length, limit)
    while body.size < wanted:
        if not stream.buffer and not (yield from stream.fill()):
            if length == -2:
                return body.whole(), False
            msg = f"{stream.peer} closed after {body.size} of {length} bytes of the body"
            raise Unhealthy(msg)
        if not body.take(stream, wanted - body.size):
            return body.whole(), True
    return body.whole(), length > limit


def _read_chunks(stream: Stream, body: Body) -> Steps[tuple[bytearray, bool]]:
    while True:
        stream.trace.check()  # tiny chunks come faster than the deadline is looked at elsewhere
        line = (yield from stream.line(LONGEST_CHUNK_LINE)).partition(b";")[0].strip(b" \t")
        if not line or len(line) > 16 or line.strip(HEX_DIGITS):
            msg = f"bad chunk size {quoted(line[:24])}"
            raise Unhealthy(msg)
        size = int(line.decode(), 16)
        if not size:
            return body.whole(), False
        while size:
            if body.size == body.limit:
                return body.whole(), True
            if not stream.buffer and not (yield from stream.fill()):
                msg = f"{stream.peer} closed in the middle of a chunk"
                raise Unhealthy(msg)
            size -= body.take(stream, size)
        if (yield from stream.line(2)):
            msg = "bad chunk: more data than its size says"
            raise Unhealthy(msg)
