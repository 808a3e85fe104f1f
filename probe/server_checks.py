"""Data stores and brokers: each says in its first words whether it is ready."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.files import read_secret
from probe.kinds import Callable, Steps
from probe.network import open_server, server_host, server_target
from probe.options import Options
from probe.scheduler import Trace
from probe.stream import Stream
from probe.tls import start_tls
from probe.values import quoted, visible_text

DEFAULT_SERVER_PORTS = {
    "redis": 6379,
    "postgres": 5432,
    "mysql": 3306,
    "memcached": 11211,
    "amqp": 5672,
}
AMQP_TLS_PORT = 5671
SWITCHING_CHECKS = ("postgres", "mysql")  # their servers speak plainly first
LONGEST_LINE = 4096
LONGEST_PACKET = 65536
# What a server that is ready says of an account: a wrong or no password (1045, 1698 of MariaDB), another way to log in
# (1251), a password that is too old (1862), locked (3118, 3955, 4151 of MariaDB), TLS only (3159).
MYSQL_REFUSALS = (1045, 1251, 1698, 1862, 3118, 3159, 3955, 4151)
# CLIENT_LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
PLAIN_CAPABILITIES, CLIENT_SSL = 0x88201, 0x800


def prepare_server(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return server_target(options, _port(options)), lambda trace: _check_server(options, trace)


def _port(options: Options) -> int:
    if options.check == "amqp" and options.flag("tls"):
        return AMQP_TLS_PORT
    return DEFAULT_SERVER_PORTS[options.check]


def _check_server(options: Options, trace: Trace) -> Steps[str]:
    talks = {
        "redis": _talk_redis,
        "postgres": _talk_postgres,
        "mysql": _talk_mysql,
        "memcached": _talk_memcached,
        "amqp": _talk_amqp,
    }
    stream = yield from open_server(options, _port(options), trace)
    try:
        if options.flag("tls") and options.check not in SWITCHING_CHECKS:
            yield from start_tls(stream, server_host(options), options, b"")
        trace.phase = f"waiting for the answer of {stream.peer}"
        return (yield from talks[options.check](stream, options))
    finally:
        stream.close()


def _shown(data: bytes) -> str:
    return visible_text(data[:200])


def _talk_redis(stream: Stream, options: Options) -> Steps[str]:
    """PING, after AUTH if there is a password (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    if options.has("password-file"):
        password = read_secret(options.data("password-file"))
        options.secrets.append(visible_text(password))
        user = [options.data("user")] if options.has("user") else []
        yield from stream.send(_redis_command([b"AUTH"] + user + [password]))
        reply = yield from stream.line(LONGEST_LINE)
        if reply != b"+OK":
            msg = f"AUTH failed: {_shown(reply)}"
            raise Unhealthy(msg)
    yield from stream.send(_redis_command([b"PING"]))
    reply = yield from stream.line(LONGEST_LINE)
    if reply == b"+PONG":
        return "PONG"
    if reply.startswith(b"-NOAUTH"):
        # Redis asks for the password before it tells that it is still loading: this is no "ready".
        msg = "it asks for a password before it tells whether it is ready (give --password-file)"
        raise Unhealthy(msg)
    msg = f"no PONG but {_shown(reply)}"
    raise Unhealthy(msg)


def _redis_command(words: list[bytes]) -> bytes:
    lines = [f"*{len(words)}".encode()]
    for word in words:
        lines += [f"${len(word)}".encode(), word]
    return b"\r\n".join(lines) + b"\r\n"


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
            parts = {part[:1]: part[1:] for part in payload.split(b"\0")}
            code, text = parts.get(b"C", b""), _shown(parts.get(b"M", b""))
            # 28: who are you; 3D000: no such database; a server that accepts connections says so.
            if code.startswith(b"28") or code in {b"3D000", b"42501"}:
                return f"accepts connections ({text})"
            msg = f"not ready: {text} ({_shown(code)})"
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


def _talk_mysql(stream: Stream, options: Options) -> Steps[str]:
    """Read the greeting; with --user, also log in, so that the server counts no aborted connection.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
    """
    number, greeting = yield from _mysql_packet(stream)
    if greeting[:1] == b"\xff":
        raise Unhealthy(_mysql_error(greeting))
    version, end, _ = greeting[1:].partition(b"\0")
    if greeting[:1] != b"\x0a" or not end or number != 0:
        msg = f"it does not speak the MySQL protocol: it sent {quoted(greeting[:24])}"
        raise Unhealthy(msg)
    if version.startswith(b"5.5.5-"):
        # MariaDB hides its version behind this one, for replicas that know no two-digit versions.
        version = version[6:]
    ready = f"ready, version {_shown(version)}"
    number, capabilities = 1, PLAIN_CAPABILITIES
    if options.flag("tls"):
        offered = greeting.partition(b"\0")[2][13:15]  # behind thread, salt and filler
        if not int.from_bytes(offered, "little") & CLIENT_SSL:
            msg = f"it has no TLS ({ready})"
            raise Unhealthy(msg)
        number, capabilities = 2, PLAIN_CAPABILITIES | CLIENT_SSL
        yield from stream.send(_mysql_frame(1, _mysql_wishes(capabilities)))
        yield from start_tls(stream, server_host(options), options, b"")
    if not options.has("user"):
        return ready
    login = _mysql_wishes(capabilities) + options.data("user") + b"\0\0mysql_native_password\0"
    yield from stream.send(_mysql_frame(number, login))
    number, reply = yield from _mysql_packet(stream)
    if (
        reply[:1] == b"\xfe"
    ):  # it wants another kind of authentication: an empty answer ends that politely
        yield from stream.send(_mysql_frame(number + 1, b""))
        number, reply = yield from _mysql_packet(stream)
    if reply[:1] == b"\xff":
        if int.from_bytes(reply[1:3], "little") in MYSQL_REFUSALS:
            return f"{ready} (access denied without a password)"
        raise Unhealthy(_mysql_error(reply))
    yield from stream.send(_mysql_frame(0, b"\x01"))  # COM_QUIT
    return ready


def _mysql_wishes(capabilities: int) -> bytes:
    """Return the head of a login: capabilities, largest packet, utf8."""
    return capabilities.to_bytes(4, "little") + b"\0\0\x01\0\x21" + bytes(23)


def _mysql_packet(stream: Stream) -> Steps[tuple[int, bytes]]:
    header = yield from stream.exactly(4)
    size = int.from_bytes(header[:3], "little")
    if not 1 <= size <= LONGEST_PACKET:
        msg = f"it does not speak the MySQL protocol: it sent {quoted(header)}"
        raise Unhealthy(msg)
    return header[3], (yield from stream.exactly(size))


def _mysql_frame(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number & 255]) + payload


def _mysql_error(packet: bytes) -> str:
    text = packet[9:] if packet[3:4] == b"#" else packet[3:]
    return f"not ready: {_shown(text)} ({int.from_bytes(packet[1:3], 'little')})"


def _talk_memcached(stream: Stream, _: Options) -> Steps[str]:
    """Ask for the version (https://github.com/memcached/memcached/blob/master/doc/protocol.txt)."""
    yield from stream.send(b"version\r\n")
    reply = yield from stream.line(LONGEST_LINE)
    if not reply.startswith(b"VERSION "):
        msg = f"no VERSION but {_shown(reply)}"
        raise Unhealthy(msg)
    yield from stream.send(b"quit\r\n")
    return f"ready, version {_shown(reply[8:])}"


def _talk_amqp(stream: Stream, _: Options) -> Steps[str]:
    """Send the protocol header; the broker answers Connection.Start (AMQP 0-9-1 section 4.2.2)."""
    yield from stream.send(b"AMQP\0\0\x09\x01")
    header = yield from stream.exactly(7)
    if header[:4] == b"AMQP":
        msg = f"it speaks another version of AMQP: {quoted(header[4:])}"
        raise Unhealthy(msg)
    size = int.from_bytes(header[3:], "big")
    if header[:3] != b"\x01\0\0" or not 4 <= size <= LONGEST_PACKET:
        msg = f"it does not speak AMQP: it sent {quoted(header)}"
        raise Unhealthy(msg)
    frame = yield from stream.exactly(size + 1)
    if frame[:4] != b"\0\x0a\0\x0a" or frame[-1:] != b"\xce":
        msg = f"no Connection.Start but {quoted(frame[:24])}"
        raise Unhealthy(msg)
    return "ready"
