"""The check of redis: a PING."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import (
    DATABASE,
    PASSWORD_OPTIONS,
    SERVER_OPTIONS,
    SWITCHED_TLS_OPTIONS,
    USER,
    Check,
    Options,
)
from probe.scheduler import Trace
from probe.server import LONGEST_LINE, prepare_server, read_password, shown_reply
from probe.stream import Stream

REDIS_PORT = 6379


def prepare_redis(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, REDIS_PORT, _talk_redis)


def _talk_redis(stream: Stream, options: Options) -> Steps[str]:
    """PING, after AUTH if there is a password (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    password = read_password(options)
    if password:
        user = [options.data("user")] if options.has("user") else []
        yield from stream.send(_redis_command([b"AUTH"] + user + [password]))
        reply = yield from stream.line(LONGEST_LINE)
        if reply != b"+OK":
            msg = f"AUTH failed: {shown_reply(reply)}"
            raise Unhealthy(msg)
    if options.has("database"):
        yield from stream.send(_redis_command([b"SELECT", options.data("database")]))
        reply = yield from stream.line(LONGEST_LINE)
        if reply != b"+OK" and not reply.startswith(b"-NOAUTH"):
            msg = f"SELECT failed: {shown_reply(reply)}"
            raise Unhealthy(msg)
    yield from stream.send(_redis_command([b"PING"]))
    reply = yield from stream.line(LONGEST_LINE)
    if reply == b"+PONG":
        return "PONG"
    if reply.startswith(b"-NOAUTH"):
        # Redis asks for the password before it tells that it is still loading: this is no "ready".
        msg = "it asks for a password before it tells whether it is ready (give --password-env or --password-file)"
        raise Unhealthy(msg)
    msg = f"no PONG but {shown_reply(reply)}"
    raise Unhealthy(msg)


def _redis_command(words: list[bytes]) -> bytes:
    lines = [f"*{len(words)}".encode()]
    for word in words:
        lines += [f"${len(word)}".encode(), word]
    return b"\r\n".join(lines) + b"\r\n"


REDIS = Check(
    "redis",
    "PING is answered by PONG (not: loading, busy)",
    SERVER_OPTIONS + (USER,) + PASSWORD_OPTIONS + (DATABASE,) + SWITCHED_TLS_OPTIONS,
    prepare_redis,
    (
        ("h", "address"),
        ("p", "port"),
        ("s", "unix-socket"),
        ("a", "password"),
        ("pass", "password"),
        ("u", "url"),
        ("cacert", "ca-file"),
        ("n", "database"),
    ),  # as redis-cli has them
    schemes=(("redis", "", "database"), ("rediss", "tls", "database")),
)
