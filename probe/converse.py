"""What the tcp and unix checks say and hear, once connected."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Steps
from probe.network import server_host
from probe.options import EXPECT, SEND, Options
from probe.stream import Stream
from probe.tls import await_refusal, start_tls
from probe.values import parse_escapes, quoted

LONGEST_BANNER = 65536
CONVERSE_OPTIONS = (
    ("await", "escapes", "", "text to wait for before anything is sent"),
    SEND,
    EXPECT,
)


def converse(stream: Stream, options: Options) -> Steps[str]:
    """Read until --await has come, send --send, and read until every --expect has come."""
    try:
        if options.flag("tls"):
            yield from start_tls(stream, server_host(options), options, b"")
        seen = "connected"
        if options.has("await"):
            awaited = parse_escapes(options.data("await"))
            place = yield from _read_until(stream, awaited)
            seen = f"connected, got {quoted(awaited, 60)}"
            # What has come before it is asked is no answer.
            stream.take(len(stream.buffer) if options.has("send") else place)
        if options.has("send"):
            stream.trace.phase = f"sending to {stream.peer}"
            yield from stream.send(parse_escapes(options.data("send")))
        for text in options.every("expect"):
            expected = parse_escapes(text)
            yield from _read_until(stream, expected)
            seen = f"connected, got {quoted(expected, 60)}"
        if seen == "connected":
            yield from await_refusal(stream)
        return seen
    finally:
        stream.close()


def _read_until(stream: Stream, expected: bytes) -> Steps[int]:
    """Read until a text has come; return the place behind it."""
    stream.trace.phase = f"waiting for the expected text from {stream.peer}"
    start = 0
    while True:
        place = stream.buffer.find(expected, start)
        if place >= 0:
            return place + len(expected)
        start = max(0, len(stream.buffer) - len(expected))
        full = len(stream.buffer) > LONGEST_BANNER
        if full or not (yield from stream.fill()):
            end = f"more than {LONGEST_BANNER} bytes" if full else "the end"
            sent = quoted(bytes(stream.buffer), 60)
            msg = f"no {quoted(expected, 60)} up to {end}; it sent {sent}"
            raise Unhealthy(msg)
