"""The check of mysql: the greeting of MySQL and MariaDB, and perhaps a login."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
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
from probe.server import (
    LONGEST_PACKET,
    has_password,
    is_private,
    prepare_server,
    read_password,
    shown_reply,
)
from probe.stream import Stream
from probe.system import digest
from probe.tls import await_refusal, start_tls
from probe.values import quoted

MYSQL_PORT = 3306
# What a server that is ready says of an account: a wrong or no password (1045, 1698 of MariaDB), another way to log in
# (1251), a password that is too old (1862), locked (3118, 3955, 4151 of MariaDB), TLS only (3159).
MYSQL_REFUSALS = (1045, 1251, 1698, 1862, 3118, 3159, 3955, 4151)
# CLIENT_LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
PLAIN_CAPABILITIES, CLIENT_SSL, WITH_DATABASE = 0x88201, 0x800, 0x8
NATIVE, CACHING_SHA2 = b"mysql_native_password", b"caching_sha2_password"
SALT_SIZE = 20
MOST_PACKETS = 8  # a login is 4


def prepare_mysql(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if has_password(options) and not options.has("user"):
        msg = "a password needs --user, the name to log in with"
        raise Usage(msg)
    return prepare_server(options, MYSQL_PORT, _talk_mysql, tls_first=False)


def _talk_mysql(stream: Stream, options: Options) -> Steps[str]:
    """Read the greeting; with --user, also log in, so that the server counts no aborted connection.

    With a password it must let us in; without one it may refuse, as only a server that is ready does.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
    """
    login = MysqlLogin(stream, options)  # from now on nobody sees the password, whoever says it
    number, greeting = yield from _mysql_packet(stream)
    if greeting[:1] == b"\xff":
        raise Unhealthy(_mysql_error(greeting, "not ready"))
    version, end, _ = greeting[1:].partition(b"\0")
    if greeting[:1] != b"\x0a" or not end or number != 0:
        msg = f"it does not speak the MySQL protocol: it sent {shown_reply(greeting)}"
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
        yield from await_refusal(stream)
        return ready
    yield from stream.send(_mysql_frame(number, login.start(capabilities, greeting)))
    for _ in range(MOST_PACKETS):
        number, reply = yield from _mysql_packet(stream)
        if reply[:1] == b"\0":
            yield from stream.send(_mysql_frame(0, b"\x01"))  # COM_QUIT
            return f"{ready}, logged in" if login.password else ready
        if reply[:1] == b"\xff":
            refused = int.from_bytes(reply[1:3], "little") in MYSQL_REFUSALS
            if refused and not login.password:
                return f"{ready} (access denied without a password)"
            raise Unhealthy(_mysql_error(reply, "login failed" if refused else "not ready"))
        answer = login.answer(reply)
        if answer is not None:
            yield from stream.send(_mysql_frame(number + 1, answer))
    msg = "it does not speak the MySQL protocol: its login has no end"
    raise Unhealthy(msg)


class MysqlLogin:
    """What we say to be let in; without a password that we have none."""

    def __init__(self, stream: Stream, options: Options) -> None:
        self.user = options.data("user")
        self.database = options.data("database")
        self.password = read_password(options)
        self.stream = stream
        self.options = options
        self.plugin = NATIVE

    def start(self, capabilities: int, greeting: bytes) -> bytes:
        """Return the first packet of ours, by the salt and the plug-in of the greeting."""
        rest = greeting.partition(b"\0")[2]
        salt = rest[4:12] + rest[31:43]  # behind the thread; behind capabilities and the like
        if rest[44:].partition(b"\0")[0] == CACHING_SHA2 and self.password:
            self.plugin = CACHING_SHA2
        data = _mysql_wishes(capabilities | (WITH_DATABASE if self.database else 0))
        data += self.user + b"\0" + _one_string(self.scrambled(salt))
        data += self.database + b"\0" if self.database else b""
        return data + self.plugin + b"\0"

    def answer(self, reply: bytes) -> bytes | None:
        """Return what to send to a server that asks for more, or None: it only tells how it goes; raises Unhealthy."""
        kind, data = reply[:1], reply[1:]
        if kind == b"\xfe" and not self.password:
            return b""  # it wants another kind of login: an empty answer ends that politely
        if kind == b"\xfe":
            self.plugin, _, salt = data.partition(b"\0")
            if self.plugin not in {NATIVE, CACHING_SHA2}:
                name = shown_reply(self.plugin) or "mysql_old_password"
                known = f"{NATIVE.decode()} and {CACHING_SHA2.decode()}"
                msg = (
                    f"the user logs in by {name}, which the probe does not know (it knows {known})"
                )
                raise Unhealthy(msg)
            return self.scrambled(salt[:SALT_SIZE])
        if kind == b"\1" and self.plugin == CACHING_SHA2 and data == b"\3":
            return None  # the server has the password in its cache, and it is right
        if kind == b"\1" and self.plugin == CACHING_SHA2 and data == b"\4" and self.password:
            if not is_private(self.stream, self.options):
                msg = "it wants the password as it is (not in its cache), for which --tls or a Unix socket is needed"
                raise Unhealthy(msg)
            return self.password + b"\0"
        msg = f"it does not speak the MySQL protocol: it answered the login by {shown_reply(reply)}"
        raise Unhealthy(msg)

    def scrambled(self, salt: bytes) -> bytes:
        """Return what proves the password for this salt, which is never sent twice.

        https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods.html
        """
        if not self.password:
            return b""
        if len(salt) != SALT_SIZE:
            msg = "it does not speak the MySQL protocol: there is no salt for the password"
            raise Unhealthy(msg)
        name = "sha1" if self.plugin == NATIVE else "sha256"
        once = digest(name, self.password)
        twice = digest(name, once)
        mask = digest(name, salt + twice if self.plugin == NATIVE else twice + salt)
        mixed = int.from_bytes(once, "big") ^ int.from_bytes(mask, "big")
        return mixed.to_bytes(len(once), "big")


def _one_string(data: bytes) -> bytes:
    return bytes([len(data)]) + data


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


def _mysql_error(packet: bytes, what: str) -> str:
    text = packet[9:] if packet[3:4] == b"#" else packet[3:]
    return f"{what}: {shown_reply(text)} ({int.from_bytes(packet[1:3], 'little')})"


MYSQL = Check(
    "mysql",
    "MySQL or MariaDB greets; --user also logs in",
    SERVER_OPTIONS + (USER,) + PASSWORD_OPTIONS + (DATABASE,) + SWITCHED_TLS_OPTIONS,
    prepare_mysql,
    (
        ("h", "address"),
        ("P", "port"),
        ("S", "unix-socket"),
        ("u", "user"),
    ),  # as mysqladmin has them
    schemes=(("mysql", "", "database"), ("mariadb", "", "database")),
)
