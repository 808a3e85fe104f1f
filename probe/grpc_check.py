"""The grpc check: one call of grpc.health.v1.Health/Check over hand-made HTTP/2 (RFC 9113).

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and doc/health-checking.md
"""

from __future__ import annotations

from probe.address import split_host_port
from probe.errors import Unhealthy, Usage
from probe.hpack import HeaderDecoder, encode_fields
from probe.kinds import Callable, Steps
from probe.network import open_server, server_host, server_target
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, USER_AGENT_OPTION, Check, Options
from probe.scheduler import Trace
from probe.stream import Stream
from probe.system import monotonic
from probe.tls import start_tls
from probe.url import percent_decode
from probe.values import lowered, quoted, visible_text
from probe.version import USER_AGENT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 5, 6, 7, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
LARGEST_FRAME = 16384  # SETTINGS_MAX_FRAME_SIZE, which we leave at its default
MOST_FRAMES = 256
GRPC_TYPE = b"application/grpc"
MOST_BLOCK_BYTES = 65536
MOST_MESSAGE_BYTES = 4096
LONGEST_STATUS_TEXT = (
    3600  # of which 300 characters are shown: each is four bytes at most, written as %XX
)
SERVING_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
STATUS_NAMES = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
STATUS_HINTS = {
    5: "the server does not know this --service",
    12: "the server has no health service",
}
RESERVED_METADATA = ("te", "content-type", "user-agent", "connection", "host")


def prepare_grpc(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    target = server_target(options, 0)
    if options.has("authority"):
        split_host_port(options.text("authority"), 1)
    for name, value in options.pairs("metadata"):
        key, foreign = lowered(name), any(byte >= 128 for byte in value)
        if key in RESERVED_METADATA or key.startswith("grpc-") or foreign:
            msg = f"--metadata {name}: this one cannot be set, or not to this"
            raise Usage(msg)
    service = visible_text(options.data("service"))
    return f"{target} {service}" if service else target, lambda trace: _check_grpc(
        options, target, trace
    )


def _check_grpc(options: Options, target: str, trace: Trace) -> Steps[str]:
    end, stream = trace.deadline, None
    try:
        trace.deadline = _phase_end(options, "connect-timeout", end)
        stream = yield from open_server(options, 0, trace)
        if options.flag("tls"):
            yield from start_tls(stream, server_host(options), options, b"h2")
        trace.deadline = _phase_end(options, "rpc-timeout", end)
        trace.phase = f"waiting for the answer of {stream.peer}"
        yield from stream.send(_call(options, target, trace.deadline - monotonic()))
        answer = GrpcAnswer(trace)
        yield from _read_answer(stream, answer)
        return _judge_answer(answer)
    finally:
        trace.deadline = end
        if stream:
            stream.close()


def _phase_end(options: Options, name: str, end: float) -> float:
    """Return when a part of the check must be over, which begins now."""
    return min(end, monotonic() + options.seconds(name)) if options.has(name) else end


def _call(options: Options, target: str, seconds: float) -> bytes:
    """Return all that we have to say: preface, settings, request with HealthCheckRequest."""
    scheme, authority = "https" if options.flag("tls") else "http", target
    if options.has("unix-socket"):
        authority = "localhost"
    authority = options.text("authority") or authority
    fields = [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", options.data("user-agent") or USER_AGENT),
        (b"grpc-timeout", f"{min(99999999, max(1, int(seconds * 1000)))}m".encode()),
    ]
    for name, value in options.pairs("metadata"):
        fields.append((lowered(name).encode(), value))
    block = encode_fields(fields)
    service = options.data("service")
    if len(service) > 1024 or len(block) > LARGEST_FRAME:
        msg = "the service name or the metadata are too long"
        raise Usage(msg)
    message = b"\x0a" + _varint(len(service)) + service if service else b""
    data = b"\0" + len(message).to_bytes(4, "big") + message
    return (
        PREFACE
        + _frame(SETTINGS, 0, 0, b"\0\2\0\0\0\0")  # SETTINGS_ENABLE_PUSH = 0
        + _frame(HEADERS, END_HEADERS, 1, block)
        + _frame(DATA, END_STREAM, 1, data)
    )


def _varint(number: int) -> bytes:
    data = b""
    while number >= 128:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream_id.to_bytes(4, "big") + payload


class GrpcAnswer:
    """What has come of the response so far."""

    def __init__(self, trace: Trace) -> None:
        self.first: list[tuple[bytes, bytes]] = []  # of the response, as far as it has come
        self.last: list[
            tuple[bytes, bytes]
        ] = []  # with which it ended: the same when there is no message
        self.message = b""
        self.ended = False
        self.decoder = HeaderDecoder(trace)
        self.block = b""  # of a header block that is not complete yet
        self.block_flags = 0
        self.in_block = False


def _read_answer(stream: Stream, answer: GrpcAnswer) -> Steps[None]:
    for number in range(MOST_FRAMES):
        head = yield from stream.exactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream_id = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if not number and (kind != SETTINGS or flags & ACK or stream_id):
            what = (
                "HTTP/1.1" if head.startswith(b"HTTP/") else f"not HTTP/2 (it sent {quoted(head)})"
            )
            msg = f"{stream.peer} speaks {what}, so no gRPC here"
            raise Unhealthy(msg)
        if size > LARGEST_FRAME:
            msg = f"{stream.peer} sent a frame of {size} bytes"
            raise Unhealthy(msg)
        payload = yield from stream.exactly(size)
        if kind == SETTINGS and not flags & ACK:
            yield from stream.send(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK and size == 8:
            yield from stream.send(_frame(PING, ACK, 0, payload))
        else:
            _take_frame(answer, kind, flags, stream_id, payload)
        if answer.ended:
            return
    msg = f"{stream.peer} sent {MOST_FRAMES} frames and no answer"
    raise Unhealthy(msg)


def _take_frame(answer: GrpcAnswer, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
    if answer.in_block != (kind == CONTINUATION) or kind == PUSH_PROMISE:
        msg = f"HTTP/2 protocol error: frame of type {kind} out of place"
        raise Unhealthy(msg)
    if kind == GOAWAY:
        last, code = (
            int.from_bytes(payload[:4], "big") & 0x7FFFFFFF,
            int.from_bytes(payload[4:8], "big"),
        )
        if last < 1 or code:
            text = visible_text(payload[8:100])
            msg = f"the server ends the connection: GOAWAY, error {code} {text}"
            raise Unhealthy(msg)
    if stream_id != 1:
        if kind in {DATA, HEADERS, CONTINUATION}:
            msg = f"HTTP/2 protocol error: frame for stream {stream_id}"
            raise Unhealthy(msg)
        return
    if kind == RST_STREAM:
        msg = f"the server reset the call, HTTP/2 error {int.from_bytes(payload[:4], 'big')}"
        raise Unhealthy(msg)
    if kind in {HEADERS, CONTINUATION}:
        _take_headers(answer, kind, flags, payload)
    elif kind == DATA:
        answer.message += _unpadded(payload, flags)
        if len(answer.message) > MOST_MESSAGE_BYTES:
            msg = f"an answer of more than {MOST_MESSAGE_BYTES} bytes"
            raise Unhealthy(msg)
        answer.ended = bool(flags & END_STREAM)


def _take_headers(answer: GrpcAnswer, kind: int, flags: int, payload: bytes) -> None:
    if kind == HEADERS:
        payload = _unpadded(payload, flags)[5 if flags & PRIORITY else 0 :]
        answer.block_flags = flags
    answer.block += payload
    if len(answer.block) > MOST_BLOCK_BYTES:
        msg = f"a header block of more than {MOST_BLOCK_BYTES} bytes"
        raise Unhealthy(msg)
    answer.in_block = not flags & END_HEADERS
    if answer.in_block:
        return
    fields = answer.decoder.read_block(answer.block)
    answer.block = b""
    answer.ended = bool(answer.block_flags & END_STREAM)
    status = _only(fields, b":status")
    if answer.first and status:
        msg = "HTTP/2 protocol error: a second status"
        raise Unhealthy(msg)
    if len(status) == 3 and status.startswith(b"1") and not answer.ended:
        return  # an interim response
    answer.first = answer.first or fields
    if answer.ended:
        answer.last = fields


def _only(fields: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the value of a field, nothing when it is not there; two of them would leave open which one counts."""
    values = [value for key, value in fields if key == name]
    if len(values) > 1:
        msg = f"HTTP/2 protocol error: {visible_text(name)} is there twice"
        raise Unhealthy(msg)
    return values[0] if values else b""


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        msg = "HTTP/2 protocol error: wrong padding"
        raise Unhealthy(msg)
    return payload[1 : len(payload) - payload[0]]


def _judge_answer(answer: GrpcAnswer) -> str:
    """Return SERVING, or raise with what was answered instead."""
    http_status = visible_text(_only(answer.first, b":status") or b"missing")
    kind = _only(answer.first, b"content-type").lower()
    code = _only(answer.last, b"grpc-status")
    if not code.isdigit() or len(code) > 4:
        msg = f"no gRPC status in the answer (HTTP status {http_status})"
        raise Unhealthy(msg)
    number = int(code.decode())
    if number:
        text = visible_text(
            percent_decode(_only(answer.last, b"grpc-message")[:LONGEST_STATUS_TEXT])
        )
        told = f": {text[:300]}" if text else ""
        hint = f" ({STATUS_HINTS[number]})" if number in STATUS_HINTS else ""
        msg = f"gRPC status {number} {STATUS_NAMES.get(number, '')}{told}{hint}"
        raise Unhealthy(msg)
    if (
        http_status != "200"
        or not kind.startswith(GRPC_TYPE)
        or kind[16:17] not in {b"", b"+", b";"}
    ):
        msg = f"gRPC status 0, but with HTTP status {http_status} and content type {quoted(kind[:60])}"
        raise Unhealthy(msg)
    serving = read_serving_status(answer.message)
    name = SERVING_NAMES.get(serving, f"status {serving}")
    if name != "SERVING":
        raise Unhealthy(name)
    return name


def read_serving_status(message: bytes) -> int:
    """Return field 1 of a HealthCheckResponse in its gRPC frame (protobuf leaves out a 0)."""
    if len(message) < 5 or message[0] or int.from_bytes(message[1:5], "big") != len(message) - 5:
        msg = f"a garbled gRPC message {quoted(message[:24])}"
        raise Unhealthy(msg)
    place, status = 5, 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        if tag & 7 == 0:
            number, place = _read_varint(message, place)
            status = number if tag >> 3 == 1 else status
        elif tag & 7 == 2:
            size, place = _read_varint(message, place)
            place += size
        elif tag & 7 in {1, 5}:
            place += 8 if tag & 7 == 1 else 4
        else:
            place = len(message) + 1
    if place > len(message):
        msg = "a garbled HealthCheckResponse"
        raise Unhealthy(msg)
    return status


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        number |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return number, place
    return 0, len(data) + 1


GRPC = Check(
    "grpc",
    "grpc.health.v1.Health/Check says SERVING",
    SERVER_OPTIONS
    + (
        ("service", "bytes", "", "name of the service (default: the server)"),
        ("metadata", "pairs", "", "'NAME: VALUE', repeatable"),
        ("authority", "text", "", "HOST:PORT that the call is for, as Host in HTTP"),
        ("connect-timeout", "share", "", "for connection and TLS, within --timeout"),
        ("rpc-timeout", "share", "", "for the call, within --timeout"),
        USER_AGENT_OPTION,
    )
    + SWITCHED_TLS_OPTIONS,
    prepare_grpc,
    # The flags of grpc_health_probe; -service, -tls, -user-agent and the timeouts have the same names.
    (
        ("addr", "address"),
        ("rpc-header", "metadata"),
        ("header", "metadata"),
        ("H", "metadata"),
        ("tls-ca-cert", "ca-file"),
        ("tls-client-cert", "cert"),
        ("tls-client-key", "key"),
        ("tls-no-verify", "insecure"),
        ("tls-server-name", "server-name"),
    ),
    schemes=(("grpc", "", ""), ("grpcs", "tls", "")),
)
