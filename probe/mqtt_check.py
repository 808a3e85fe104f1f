"""The check of mqtt: connects as a client does (MQTT 3.1.1), and says good-bye."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.kinds import Callable, Steps
from probe.options import (
    PASSWORD_OPTIONS,
    SERVER_OPTIONS,
    SWITCHED_TLS_OPTIONS,
    USER,
    Check,
    Options,
)
from probe.scheduler import Trace
from probe.server import has_password, prepare_server, read_password
from probe.stream import Stream
from probe.system import random_bytes
from probe.values import quoted

MQTT_PORT, MQTT_TLS_PORT = 1883, 8883
LONGEST_MQTT_FIELD = 65535
MQTT_REFUSALS = {
    1: "another version of MQTT is wanted",
    2: "the client identifier is refused",
    3: "the server is unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
CLEAN_SESSION, WITH_PASSWORD, WITH_USER = 0x02, 0x40, 0x80


def prepare_mqtt(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if has_password(options) and not options.has("user"):
        msg = "a password needs --user, which MQTT sends before it"
        raise Usage(msg)
    return prepare_server(options, MQTT_PORT, _talk_mqtt, tls_port=MQTT_TLS_PORT)


def _talk_mqtt(stream: Stream, options: Options) -> Steps[str]:
    """CONNECT, CONNACK, DISCONNECT (https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/)."""
    # A name of its own: a server ends the connection of another client that has the same.
    name = "probe" + "".join([f"{byte:02x}" for byte in random_bytes(8)])
    flags, fields = CLEAN_SESSION, _mqtt_field(name.encode())
    password = read_password(options)
    if options.has("user"):
        flags, fields = flags | WITH_USER, fields + _mqtt_field(options.data("user"))
    if password:
        flags, fields = flags | WITH_PASSWORD, fields + _mqtt_field(password)
    body = _mqtt_field(b"MQTT") + bytes([4, flags, 0, 60]) + fields
    yield from stream.send(b"\x10" + _mqtt_length(len(body)) + body)
    reply = yield from stream.exactly(4)
    code = reply[3]
    if reply[:2] != b"\x20\2" or reply[2] > 1:
        msg = f"it does not speak MQTT: it sent {quoted(reply)}"
        raise Unhealthy(msg)
    if code in {4, 5} and not password:
        return f"ready ({MQTT_REFUSALS[code]} without a password)"
    if code:
        reason = MQTT_REFUSALS.get(code, "for a reason that MQTT 3.1.1 has not")
        msg = f"refused: {reason} (return code {code})"
        raise Unhealthy(msg)
    yield from stream.send(b"\xe0\0")
    return "ready"


def _mqtt_field(data: bytes) -> bytes:
    if len(data) > LONGEST_MQTT_FIELD:
        msg = f"MQTT has no room for names and passwords of more than {LONGEST_MQTT_FIELD} bytes"
        raise Usage(msg)
    return len(data).to_bytes(2, "big") + data


def _mqtt_length(size: int) -> bytes:
    """Return a length as seven bits a byte, the lowest first (section 2.2.3)."""
    return bytes([size]) if size < 128 else bytes([size & 127 | 128]) + _mqtt_length(size >> 7)


MQTT = Check(
    "mqtt",
    "a broker accepts a connection; --user also logs in",
    SERVER_OPTIONS + (USER,) + PASSWORD_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_mqtt,
    schemes=(("mqtt", "", "topic"), ("mqtts", "tls", "topic")),
)
