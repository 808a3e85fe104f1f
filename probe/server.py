"""What the checks of data stores and brokers have in common: connect, perhaps TLS, and talk."""

from __future__ import annotations

from probe.files import read_secret
from probe.kinds import Callable, Steps
from probe.network import open_server, server_host, server_target
from probe.options import Options
from probe.scheduler import Trace
from probe.stream import Stream
from probe.tls import start_tls
from probe.values import visible_text

LONGEST_LINE = 4096
LONGEST_PACKET = 65536


def prepare_server(
    options: Options,
    port: int,
    talk: Callable[[Stream, Options], Steps[str]],
    tls_first: bool = True,
    tls_port: int = 0,
) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check: to connect, and `talk`.

    `port` is the default one, or with --tls `tls_port` if there is one. With --tls the talk is over TLS from its first
    byte on, if `tls_first`.
    """
    port = tls_port if tls_port and options.flag("tls") else port

    def check_server(trace: Trace) -> Steps[str]:
        stream = yield from open_server(options, port, trace)
        try:
            if tls_first and options.flag("tls"):
                yield from start_tls(stream, server_host(options), options, b"")
            trace.phase = f"waiting for the answer of {stream.peer}"
            return (yield from talk(stream, options))
        finally:
            stream.close()

    return server_target(options, port), check_server


def shown_reply(data: bytes) -> str:
    """Return what a server said, for messages, which are cut in the end.

    Not here: what is left of a password where a text is cut would not be known for one.
    """
    return visible_text(data) if len(data) <= LONGEST_LINE else f"a text of {len(data)} bytes"


def read_password(options: Options) -> bytes:
    """Return the password that the options name, which is never shown from then on; nothing when they name none."""
    if not has_password(options):
        return b""
    password = options.data("password") or read_secret(options.data("password-file"))
    options.secrets.append(visible_text(password))
    return password


def has_password(options: Options) -> bool:
    """Tell whether there is a password to log in with."""
    return options.has("password") or options.has("password-file")


def is_private(stream: Stream, options: Options) -> bool:
    """Tell whether nobody else reads what is sent: a password as it is goes no other way."""
    return stream.tls is not None or options.has("unix-socket")
