"""The tcp check: connect, and perhaps exchange a few bytes."""

from __future__ import annotations

from probe.converse import CONVERSE_OPTIONS, converse
from probe.kinds import Callable, Steps
from probe.network import open_server, server_target
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace


def prepare_tcp(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return server_target(options, 0), lambda trace: _check_tcp(options, trace)


def _check_tcp(options: Options, trace: Trace) -> Steps[str]:
    stream = yield from open_server(options, 0, trace)
    return (yield from converse(stream, options))


TCP = Check(
    "tcp",
    "connect to HOST:PORT; with --expect, wait for a text",
    SERVER_OPTIONS + CONVERSE_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_tcp,
    schemes=(("tcp", "", ""),),
)
