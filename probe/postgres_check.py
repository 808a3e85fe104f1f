"""The check of postgres: as pg_isready, or with a password a login."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.network import server_host
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
from probe.scram import Scram
from probe.server import (
    LONGEST_PACKET,
    is_private,
    prepare_server,
    read_password,
    shown_reply,
)
from probe.stream import Stream
from probe.system import digest
from probe.tls import start_tls
from probe.values import hexadecimal, quoted

POSTGRES_PORT = 5432
MOST_MESSAGES = 256  # a login is 20
GOOD_BYE = b"X\0\0\0\4"  # Terminate
LOGGED_IN, CLEAR_TEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12
MOST_MECHANISMS = 16
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
    """As pg_isready: any answer to the start-up message but "not now" means "ready"; with a password it must let us in.

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
    login = PostgresLogin(stream, options)
    yield from stream.send(login.start())
    for _ in range(MOST_MESSAGES):
        kind, size = yield from _postgres_header(stream)
        payload = yield from stream.exactly(size)
        code = int.from_bytes(payload[:4], "big")
        if kind == b"E":
            return _postgres_error(payload, login)
        if kind == b"R" and size >= 4 and login.password:
            yield from stream.send(login.answer(code, payload[4:]))
        elif kind == b"R" and size >= 4:
            if code == LOGGED_IN:  # asked for a password, it would log a good-bye as an error
                yield from stream.send(GOOD_BYE)
            return "accepts connections"
        elif kind == b"Z" and login.inside:
            yield from stream.send(GOOD_BYE)
            return "logged in"
        elif kind not in {b"N", b"S", b"v"} and not (kind == b"K" and login.inside):
            break
    msg = "it does not speak the PostgreSQL protocol"
    raise Unhealthy(msg)


class PostgresLogin:
    """How far a login has come, if there is a password.

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
    """

    def __init__(self, stream: Stream, options: Options) -> None:
        self.user = options.data("user") or b"postgres"
        self.database = options.data("database") or self.user
        self.password = read_password(options)
        self.private = is_private(stream, options)
        self.scram = Scram(self.password, stream.trace)
        self.begun = False
        self.inside = False

    def start(self) -> bytes:
        """Return the start-up message."""
        fields = b"user\0" + self.user + b"\0database\0" + self.database
        fields += b"\0application_name\0probe\0\0"
        return (len(fields) + 8).to_bytes(4, "big") + b"\0\3\0\0" + fields

    def answer(self, code: int, data: bytes) -> bytes:
        """Return what to send, if anything, when the server says how to log in, or that we are; raises Unhealthy."""
        if code == LOGGED_IN and (not self.begun or self.scram.finished):
            self.inside = True
            return b""
        if code == CLEAR_TEXT:
            if not self.private:
                msg = "it wants the password as it is, for which --tls or a Unix socket is needed"
                raise Unhealthy(msg)
            return _postgres_message(self.password + b"\0")
        if code == MD5 and len(data) == 4:
            inner = hexadecimal(digest("md5", self.password + self.user))
            return _postgres_message(b"md5" + hexadecimal(digest("md5", inner + data)) + b"\0")
        if (
            code == SASL
            and not self.begun
            and b"SCRAM-SHA-256" in data.split(b"\0", MOST_MECHANISMS)
        ):
            self.begun = True
            first = self.scram.first()
            return _postgres_message(b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first)
        if code == SASL_CONTINUE and self.begun and not self.scram.signature:
            return _postgres_message(self.scram.proof(data))
        if code == SASL_FINAL and self.begun:
            self.scram.finish(data)
            return b""
        if code == LOGGED_IN:
            self.scram.finish(b"")
        msg = f"it wants a kind of login that the probe does not know (number {code})"
        raise Unhealthy(msg)


def _postgres_message(payload: bytes) -> bytes:
    return b"p" + (len(payload) + 4).to_bytes(4, "big") + payload


def _postgres_error(payload: bytes, login: PostgresLogin) -> str:
    """Say what an error means: not all of them are of a server that is not ready; raises Unhealthy."""
    parts = {part[:1]: part[1:] for part in payload.split(b"\0", MOST_FIELDS_OF_ERROR)}
    code, text = parts.get(b"C", b""), shown_reply(parts.get(b"M", b""))
    # 28: who are you; 3D000: no such database; a server that accepts connections says so.
    ready = code.startswith(b"28") or code in {b"3D000", b"42501"}
    if ready and not login.password:
        return f"accepts connections ({text})"
    msg = f"{'login failed' if ready else 'not ready'}: {text} ({shown_reply(code)})"
    raise Unhealthy(msg)


def _postgres_header(stream: Stream) -> Steps[tuple[bytes, int]]:
    header = yield from stream.exactly(5)
    size = int.from_bytes(header[1:], "big") - 4
    if header[:1] not in b"RENSvKZ" or not 0 <= size <= LONGEST_PACKET:
        msg = f"it does not speak the PostgreSQL protocol: it sent {quoted(header)}"
        raise Unhealthy(msg)
    return header[:1], size


POSTGRES = Check(
    "postgres",
    "accepts connections (as pg_isready); a password logs in",
    SERVER_OPTIONS + (USER,) + PASSWORD_OPTIONS + (DATABASE,) + SWITCHED_TLS_OPTIONS,
    prepare_postgres,
    # as pg_isready has them
    (("h", "address"), ("p", "port"), ("U", "user"), ("d", "database"), ("t", "timeout")),
    schemes=(("postgres", "", "database"), ("postgresql", "", "database")),
)
