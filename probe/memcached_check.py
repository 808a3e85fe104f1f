"""The check of memcached: its version."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_LINE, prepare_server, shown_reply
from probe.stream import Stream

MEMCACHED_PORT = 11211


def prepare_memcached(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, MEMCACHED_PORT, _talk_memcached)


def _talk_memcached(stream: Stream, _: Options) -> Steps[str]:
    """Ask for the version (https://github.com/memcached/memcached/blob/master/doc/protocol.txt)."""
    yield from stream.send(b"version\r\n")
    reply = yield from stream.line(LONGEST_LINE)
    if not reply.startswith(b"VERSION "):
        msg = f"no VERSION but {shown_reply(reply)}"
        raise Unhealthy(msg)
    yield from stream.send(b"quit\r\n")
    return f"ready, version {shown_reply(reply[8:])}"


MEMCACHED = Check(
    "memcached",
    "answers its version",
    SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_memcached,
    schemes=(("memcached", "", ""),),
)
