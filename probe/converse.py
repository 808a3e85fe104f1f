"""What the tcp and unix checks say and hear, once connected."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Steps
from probe.network import server_host
from probe.options import Options
from probe.stream import Stream
from probe.tls import start_tls
from probe.values import parse_escapes, quoted

LONGEST_BANNER = 65536
CONVERSE_OPTIONS = (
    ("send", "escapes", "", r"text to send; \r \n \t \0 \\ \xNN"),
    ("expect", "escapes", "", r"text to wait for; \r \n \t \0 \\ \xNN"),
)


def converse(stream: Stream, options: Options) -> Steps[str]:
    """Send --send, and read until --expect has come."""
    try:
        if options.flag("tls"):
            yield from start_tls(stream, server_host(options), options, b"")
        if options.has("send"):
            stream.trace.phase = f"sending to {stream.peer}"
            yield from stream.send(parse_escapes(options.data("send")))
        if not options.has("expect"):
            return "connected"
        stream.trace.phase = f"waiting for the expected text from {stream.peer}"
        expected, start = parse_escapes(options.data("expect")), 0
        while stream.buffer.find(expected, start) < 0:
            start = max(0, len(stream.buffer) - len(expected))
            full = len(stream.buffer) > LONGEST_BANNER
            if full or not (yield from stream.fill()):
                end = f"more than {LONGEST_BANNER} bytes" if full else "the end"
                sent = quoted(bytes(stream.buffer), 60)
                msg = f"no {quoted(expected, 60)} up to {end}; it sent {sent}"
                raise Unhealthy(msg)
        return f"connected, got {quoted(expected, 60)}"
    finally:
        stream.close()
