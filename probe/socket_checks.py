"""The tcp and unix checks: connect, and perhaps exchange a few bytes."""

from __future__ import annotations

from probe.address import unix_address
from probe.errors import Unhealthy, Usage
from probe.kinds import Callable, Steps
from probe.network import open_server, server_host, server_target
from probe.options import Options
from probe.scheduler import Trace
from probe.stream import Stream, open_stream
from probe.tls import start_tls
from probe.values import parse_escapes, quoted

LONGEST_BANNER = 65536


def prepare_tcp(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return server_target(options, 0), lambda trace: _check_tcp(options, trace)


def prepare_unix(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("path"):
        msg = "unix needs the PATH of a socket"
        raise Usage(msg)
    return unix_address(options.data("path"))[4], lambda trace: _check_unix(options, trace)


def _check_tcp(options: Options, trace: Trace) -> Steps[str]:
    stream = yield from open_server(options, 0, trace)
    return (yield from _converse(stream, options))


def _check_unix(options: Options, trace: Trace) -> Steps[str]:
    stream = yield from open_stream([unix_address(options.data("path"))], trace)
    return (yield from _converse(stream, options))


def _converse(stream: Stream, options: Options) -> Steps[str]:
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
                sent = quoted(bytes(stream.buffer[:60]))
                msg = f"no {quoted(expected[:60])} up to {end}; it sent {sent}"
                raise Unhealthy(msg)
        return f"connected, got {quoted(expected[:60])}"
    finally:
        stream.close()
