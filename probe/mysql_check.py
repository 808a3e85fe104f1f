"""The check of mysql: the greeting of MySQL and MariaDB, and perhaps a login."""

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

MYSQL_PORT = 3306
# What a server that is ready says of an account: a wrong or no password (1045, 1698 of MariaDB), another way to log in
# (1251), a password that is too old (1862), locked (3118, 3955, 4151 of MariaDB), TLS only (3159).
MYSQL_REFUSALS = (1045, 1251, 1698, 1862, 3118, 3159, 3955, 4151)
# CLIENT_LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
PLAIN_CAPABILITIES, CLIENT_SSL = 0x88201, 0x800


def prepare_mysql(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, MYSQL_PORT, _talk_mysql, tls_first=False)


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
    ready = f"ready, version {shown_reply(version)}"
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
    return f"not ready: {shown_reply(text)} ({int.from_bytes(packet[1:3], 'little')})"


MYSQL = Check(
    "mysql",
    "MySQL or MariaDB greets; --user also logs in",
    SERVER_OPTIONS + (USER,) + SWITCHED_TLS_OPTIONS,
    prepare_mysql,
    (
        ("h", "address"),
        ("P", "port"),
        ("S", "unix-socket"),
        ("u", "user"),
    ),  # as mysqladmin has them,
    schemes=(("mysql", "", "database"), ("mariadb", "", "database")),
)
