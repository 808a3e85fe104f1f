"""The check of amqp: RabbitMQ and others."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_PACKET, prepare_server
from probe.stream import Stream
from probe.values import quoted

AMQP_PORT, AMQP_TLS_PORT = 5672, 5671


def prepare_amqp(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, AMQP_PORT, _talk_amqp, tls_port=AMQP_TLS_PORT)


def _talk_amqp(stream: Stream, _: Options) -> Steps[str]:
    """Send the protocol header; the broker answers Connection.Start (AMQP 0-9-1 section 4.2.2)."""
    yield from stream.send(b"AMQP\0\0\x09\x01")
    header = yield from stream.exactly(7)
    if header[:4] == b"AMQP":
        msg = f"it speaks another version of AMQP: {quoted(header[4:])}"
        raise Unhealthy(msg)
    size = int.from_bytes(header[3:], "big")
    if header[:3] != b"\x01\0\0" or not 4 <= size <= LONGEST_PACKET:
        msg = f"it does not speak AMQP: it sent {quoted(header)}"
        raise Unhealthy(msg)
    frame = yield from stream.exactly(size + 1)
    if frame[:4] != b"\0\x0a\0\x0a" or frame[-1:] != b"\xce":
        msg = f"no Connection.Start but {quoted(frame[:24])}"
        raise Unhealthy(msg)
    return "ready"


AMQP = Check(
    "amqp",
    "RabbitMQ and others start a connection",
    SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_amqp,
    schemes=(("amqp", "", "vhost"), ("amqps", "tls", "vhost")),
)
