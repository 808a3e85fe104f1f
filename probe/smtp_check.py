"""The check of smtp: greets, and says what it can do (RFC 5321)."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.network import server_host
from probe.options import SERVER_OPTIONS, STARTTLS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_LINE, prepare_server, shown_reply
from probe.stream import Stream
from probe.tls import start_tls
from probe.values import quoted

SMTP_PORT, SMTPS_PORT = 25, 465
MOST_REPLY_LINES = 128
HELLO = b"EHLO [127.0.0.1]\r\n"  # the name of who has none: section 4.1.3


def prepare_smtp(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, SMTP_PORT, _talk_smtp, tls_port=SMTPS_PORT)


def _talk_smtp(stream: Stream, options: Options) -> Steps[str]:
    greeting = (yield from _smtp_reply(stream, b"220", "its greeting"))[0]
    yield from stream.send(HELLO)
    extensions = yield from _smtp_reply(stream, b"250", "its answer to EHLO")
    if options.flag("starttls"):
        if b"STARTTLS" not in [line.upper() for line in extensions]:
            msg = "it has no STARTTLS"
            raise Unhealthy(msg)
        yield from stream.send(b"STARTTLS\r\n")
        yield from _smtp_reply(stream, b"220", "its answer to STARTTLS")
        yield from start_tls(stream, server_host(options), options, b"")
        stream.trace.phase = f"waiting for the answer of {stream.peer}"
        yield from stream.send(HELLO)
        yield from _smtp_reply(stream, b"250", "its answer to EHLO")
    yield from stream.send(b"QUIT\r\n")
    return f"ready, {shown_reply(greeting)}"


def _smtp_reply(stream: Stream, wanted: bytes, what: str) -> Steps[list[bytes]]:
    """Return the lines of a reply that has this code, each without it."""
    lines: list[bytes] = []
    while len(lines) < MOST_REPLY_LINES:
        stream.trace.check()
        line = yield from stream.line(LONGEST_LINE)
        code, mark = line[:3], line[3:4]
        if len(code) < 3 or not code.isdigit() or mark not in {b"", b" ", b"-"}:
            msg = f"it does not speak SMTP: it sent {quoted(line[:60])}"
            raise Unhealthy(msg)
        if code != wanted:
            msg = f"{what} is {shown_reply(line)}"
            raise Unhealthy(msg)
        lines.append(line[4:].strip())
        if mark != b"-":
            return lines
    msg = f"a reply of more than {MOST_REPLY_LINES} lines"
    raise Unhealthy(msg)


SMTP = Check(
    "smtp",
    "a mail server greets, and answers EHLO",
    SERVER_OPTIONS + (STARTTLS,) + SWITCHED_TLS_OPTIONS,
    prepare_smtp,
    exclusive=(("tls", "starttls"),),
    schemes=(("smtp", "", ""), ("smtps", "tls", "")),
)
