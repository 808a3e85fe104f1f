"""The check of postgres: as pg_isready."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.network import server_host
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, USER, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_PACKET, prepare_server, shown_reply
from probe.stream import Stream
from probe.tls import start_tls
from probe.values import quoted

POSTGRES_PORT = 5432
MOST_FIELDS_OF_ERROR = 32  # there are 18 kinds


def prepare_postgres(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check.

    A host that begins with '/' is the directory of a Unix socket, as for libpq.
    """
    directory = options.data("address")
    if directory.startswith(b"/"):
        path = f".s.PGSQL.{options.count('port') or POSTGRES_PORT}".encode()
        options.values.pop("address")
        options.store("unix-socket", "bytes", directory.rstrip(b"/") + b"/" + path, "address", "")
    return prepare_server(options, POSTGRES_PORT, _talk_postgres, tls_first=False)


def _talk_postgres(stream: Stream, options: Options) -> Steps[str]:
    """As pg_isready: any answer to the start-up message but "not now" means "ready".

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    if options.flag("tls"):
        yield from stream.send(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest
        reply = yield from stream.exactly(1)
        if reply != b"S":
            msg = (
                "it has no TLS" if reply == b"N" else f"no answer to SSLRequest but {quoted(reply)}"
            )
            raise Unhealthy(msg)
        yield from start_tls(stream, server_host(options), options, b"")
    user = options.data("user") or b"postgres"
    fields = b"user\0" + user + b"\0database\0postgres\0application_name\0probe\0\0"
    yield from stream.send((len(fields) + 8).to_bytes(4, "big") + b"\0\3\0\0" + fields)
    for _ in range(64):
        kind, size = yield from _postgres_header(stream)
        payload = yield from stream.exactly(size)
        if kind == b"R":
            if payload[:4] == b"\0\0\0\0":
                yield from stream.send(
                    b"X\0\0\0\4"
                )  # Terminate; asked for a password, it would log that as an error
            return "accepts connections"
        if kind == b"E":
            parts = {part[:1]: part[1:] for part in payload.split(b"\0", MOST_FIELDS_OF_ERROR)}
            code, text = parts.get(b"C", b""), shown_reply(parts.get(b"M", b""))
            # 28: who are you; 3D000: no such database; a server that accepts connections says so.
            if code.startswith(b"28") or code in {b"3D000", b"42501"}:
                return f"accepts connections ({text})"
            msg = f"not ready: {text} ({shown_reply(code)})"
            raise Unhealthy(msg)
        if kind not in {b"N", b"S", b"v"}:
            break
    msg = "it does not speak the PostgreSQL protocol"
    raise Unhealthy(msg)


def _postgres_header(stream: Stream) -> Steps[tuple[bytes, int]]:
    header = yield from stream.exactly(5)
    size = int.from_bytes(header[1:], "big") - 4
    if header[:1] not in b"RENSv" or not 0 <= size <= LONGEST_PACKET:
        msg = f"it does not speak the PostgreSQL protocol: it sent {quoted(header)}"
        raise Unhealthy(msg)
    return header[:1], size


POSTGRES = Check(
    "postgres",
    "accepts connections (as pg_isready)",
    SERVER_OPTIONS + (USER,) + SWITCHED_TLS_OPTIONS,
    prepare_postgres,
    (("h", "address"), ("p", "port"), ("U", "user")),  # as pg_isready has them,
    schemes=(("postgres", "", "database"), ("postgresql", "", "database")),
)
