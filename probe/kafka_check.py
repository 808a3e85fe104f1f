"""The check of kafka: a broker says which requests it takes, which needs no login."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_PACKET, prepare_server
from probe.stream import Stream
from probe.system import random_bytes
from probe.values import quoted

KAFKA_PORT, KAFKA_TLS_PORT = 9092, 9093
# Behind the length and the number of the request: no error, how many requests there are, and three numbers of each.
KAFKA_HEAD, KAFKA_ROW = 10, 6


def prepare_kafka(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, KAFKA_PORT, _talk_kafka, tls_port=KAFKA_TLS_PORT)


def _talk_kafka(stream: Stream, _: Options) -> Steps[str]:
    """Send ApiVersions, version 0 (https://kafka.apache.org/protocol.html#The_Messages_ApiVersions)."""
    identity = random_bytes(4)
    request = b"\0\x12\0\0" + identity + b"\0\5probe"
    yield from stream.send(len(request).to_bytes(4, "big") + request)
    head = yield from stream.exactly(4)
    size = int.from_bytes(head, "big")
    if not KAFKA_HEAD <= size <= LONGEST_PACKET:
        msg = f"it does not speak Kafka's protocol: it sent {quoted(head)}"
        raise Unhealthy(msg)
    reply = yield from stream.exactly(size)
    if reply[:4] != identity:
        msg = f"its answer is to another request: it sent {quoted(head + reply[:12])}"
        raise Unhealthy(msg)
    code, count = int.from_bytes(reply[4:6], "big"), int.from_bytes(reply[6:10], "big")
    if code:
        msg = f"not ready: error {code if code < 0x8000 else code - 0x10000}"
        raise Unhealthy(msg)
    if not count or size != KAFKA_HEAD + count * KAFKA_ROW:
        msg = f"no list of requests but {quoted(reply[4:24])}"
        raise Unhealthy(msg)
    return f"ready, takes {count} kinds of requests"


KAFKA = Check(
    "kafka",
    "a broker says which requests it takes (ApiVersions)",
    SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_kafka,
    schemes=(("kafka", "", ""),),
)
