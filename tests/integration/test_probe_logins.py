"""The probe logs in to real servers, plain and over TLS; and whatever comes of it, no output has the password."""

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from trustme import CA

from tests.integration.real_server import HOST, SECONDS, Server, free_port, program
from tests.integration.test_probe_servers import (
    HEALTHY,
    UNHEALTHY,
    Probe,
    becomes,
    ends,
    interpreter,
    probe,
    server,
)
from tests.interpreters import Interpreter

__all__ = ["interpreter", "probe", "server"]

pytestmark = pytest.mark.builds

PASSWORD = "corréct horse, Battery=staple%"
WRONG = "corréct horse, Battery=staple"
OUTPUTS: tuple[tuple[str, ...], ...] = ((), ("-v",), ("--json-output",))


@dataclass(frozen=True, kw_only=True)
class Files:
    """What servers and probe read: passwords, certificates of a CA, and one of another."""

    directory: Path
    authority: CA = field(default_factory=CA)
    other: CA = field(default_factory=CA)

    def __post_init__(self) -> None:
        self.authority.cert_pem.write_to_path(str(self.ca))
        leaf = self.authority.issue_cert("localhost", HOST)
        leaf.private_key_pem.write_to_path(str(self.directory / "server.key"))
        (self.directory / "server.crt").write_bytes(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        )
        for name, authority in (("client", self.authority), ("stranger", self.other)):
            client = authority.issue_cert(name)
            client.private_key_and_cert_chain_pem.write_to_path(str(self.directory / name))
        for name, text in (("right", PASSWORD), ("wrong", WRONG)):
            (self.directory / name).write_text(text + "\n", "utf-8")
        for path in self.directory.iterdir():
            path.chmod(0o644)

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def words(self, name: str) -> tuple[str, Path]:
        return "--password-file", self.directory / name


@pytest.fixture
def files(server: Server) -> Files:
    return Files(directory=server.directory)


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def secretly(probe: Probe, code: int, text: str, *words: str | Path) -> None:
    """Every form of output ends so, and has none of the passwords."""
    for output in OUTPUTS:
        found = probe(*words, *output)
        assert found[0] == code, found
        assert text in found[1] or escaped(text) in found[1], found
        for secret in (WRONG, "Battery", "corr"):
            assert secret not in found[1]
            assert escaped(secret) not in found[1]


# --- redis -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis(server: Server, files: Files) -> Server:
    tls = free_port()
    hidden = "".join(f"\\x{byte:02x}" for byte in PASSWORD.encode())
    (server.directory / "conf").write_text(
        f"bind {HOST}\nport {server.port}\nunixsocket {server.unix}\ntls-port {tls}\n"
        f"tls-cert-file server.crt\ntls-key-file server.key\ntls-ca-cert-file ca.pem\n"
        f'user default off\nuser app on ">{hidden}" +ping\nuser weak on ">{hidden}" +get\nsave ""\n'
    )
    server.start(program("redis-server"), server.directory / "conf")
    server.listens()
    server.tls = tls
    return server


def test_redis_acl(probe: Probe, redis: Server, files: Files) -> None:
    right, wrong = files.words("right"), files.words("wrong")
    becomes(probe, HEALTHY, "redis", redis.at, "--user", "app", *right)
    for at in ((redis.at,), ("--unix-socket", redis.unix)):
        secretly(probe, HEALTHY, "PONG", "redis", *at, "--user", "app", *right)
        secretly(probe, UNHEALTHY, "AUTH failed: -WRONGPASS", "redis", *at, "--user=app", *wrong)
        secretly(probe, UNHEALTHY, "AUTH failed: -WRONGPASS", "redis", *at, "--user=nobody", *right)
        secretly(probe, UNHEALTHY, "-NOPERM", "redis", *at, "--user", "weak", *right)
        secretly(probe, UNHEALTHY, "AUTH failed", "redis", *at, *right)
        ends(probe, UNHEALTHY, "asks for a password", "redis", *at)


def test_redis_over_tls(
    probe: Probe, redis: Server, files: Files, interpreter: Interpreter
) -> None:
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", "redis", redis.at, "--tls")
        return
    at, right = f"localhost:{redis.tls}", ("--user=app", *files.words("right"))
    tls = ("--tls", "--ca-file", files.ca)
    client, stranger = files.directory / "client", files.directory / "stranger"
    secretly(probe, HEALTHY, "PONG", "redis", at, *tls, "--cert", client, *right)
    ends(probe, HEALTHY, "connected in", "tcp", at, *tls, "--cert", client)
    # Redis asks for a certificate, and refuses who has none: in TLS 1.3 behind the handshake.
    for check, words in (("redis", right), ("tcp", ())):
        assert probe(check, at, *tls, *words)[0] == UNHEALTHY
        assert probe(check, at, *tls, *words, "--cert", stranger)[0] == UNHEALTHY
        assert probe(check, at, "--tls", "--cert", client, *words)[0] == UNHEALTHY


# --- postgresql ------------------------------------------------------------------------------------------------------

ACCESS = """
local all postgres trust
local all clear password
hostssl all safe all scram-sha-256 clientcert=verify-ca
host all safe all reject
host all scram,late all scram-sha-256
host all hashed all md5
host all clear all password
host all trusted all trust
"""
USERS = ("scram", "late", "hashed", "clear", "safe", "trusted")


@pytest.fixture
def postgres(server: Server, files: Files) -> Server:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    directories = [str(path) for path in reversed(versions)]
    data = server.directory / "data"
    initdb = program("initdb", *directories)
    server.run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
    (data / "pg_hba.conf").write_text(ACCESS)
    (server.directory / "server.key").chmod(0o600)
    server.owns(server.directory / "server.key")
    words = [program("postgres", *directories), "-D", str(data), "-F", "-h", HOST]
    words += ["-p", str(server.port), "-k", str(server.directory), "-c", "ssl=on"]
    for name, file in (("cert", "server.crt"), ("key", "server.key"), ("ca", "ca.pem")):
        words += ["-c", f"ssl_{name}_file={server.directory / file}"]
    server.start(*words)
    server.listens()
    sql = []
    for user in USERS:
        method = "md5" if user == "hashed" else "scram-sha-256"
        sql += [f"SET password_encryption = '{method}'"]
        sql += [f"CREATE USER {user} PASSWORD '{PASSWORD}'"]
    sql += ["ALTER USER late VALID UNTIL '2001-01-01'", "CREATE DATABASE shop"]
    sql += ["CREATE DATABASE scram", "REVOKE CONNECT ON DATABASE shop FROM public"]
    sql += ["GRANT CONNECT ON DATABASE shop TO hashed, clear, safe, trusted"]
    psql: list[str | Path] = [
        program("psql", *directories),
        "-h",
        server.directory,
        "-p",
        str(server.port),
    ]
    more = [word for line in sql for word in ("-c", line)]
    server.run(*psql, "-U", "postgres", "-v", "ON_ERROR_STOP=1", *more)
    return server


def test_postgresql_passwords(probe: Probe, postgres: Server, files: Files) -> None:
    right, wrong = files.words("right"), files.words("wrong")
    at = ("postgres", postgres.at)
    failed = "login failed: password authentication failed for user"
    for user, database in (("scram", ()), ("hashed", ("--database=shop",))):
        who = (*at, "--user", user, *database)
        secretly(probe, HEALTHY, "logged in", *who, *right)
        secretly(probe, UNHEALTHY, f'{failed} "{user}" (28P01)', *who, *wrong)
        secretly(probe, HEALTHY, "accepts connections", *who)
    for user in ("late", "nobody"):
        assert probe(*at, "--user", user, *right)[0] == UNHEALTHY
    secretly(probe, UNHEALTHY, "(3D000)", *at, "--user=hashed", *right)
    ends(probe, UNHEALTHY, "(42501)", *at, "--user=scram", "--database=shop", *right)
    # Nobody is asked for a password: it is let in, as psql is.
    ends(probe, HEALTHY, "logged in", *at, "--user=trusted", "--database=shop", *wrong)
    url = f"postgres://hashed:{'x' * 20}@{postgres.at}/shop"
    ends(probe, UNHEALTHY, "login failed", url)
    ends(probe, UNHEALTHY, "rejects connection", *at, "--user=safe", "--database=shop", *right)


def test_postgresql_as_it_is(probe: Probe, postgres: Server, files: Files) -> None:
    right, wrong = files.words("right"), files.words("wrong")
    who = ("--user=clear", "--database=shop")
    secretly(probe, UNHEALTHY, "--tls or a Unix socket", "postgres", postgres.at, *who, *right)
    local = ("-h", postgres.directory, "--port", str(postgres.port))
    secretly(probe, HEALTHY, "logged in", "postgres", *local, *who, *right)
    secretly(probe, UNHEALTHY, "login failed: password", "postgres", *local, *who, *wrong)
    log = (postgres.directory / "log").read_text()
    assert 'FATAL:  password authentication failed for user "clear"' in log


def test_postgresql_over_tls(
    probe: Probe, postgres: Server, files: Files, interpreter: Interpreter
) -> None:
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", "postgres", postgres.at, "--tls")
        return
    right, wrong = files.words("right"), files.words("wrong")
    at = ("postgres", f"localhost:{postgres.port}", "--tls", "--ca-file", files.ca)
    client, stranger = files.directory / "client", files.directory / "stranger"
    for user in ("scram", "hashed", "clear"):
        who = ("--user", user, "--database", "scram" if user == "scram" else "shop")
        secretly(probe, HEALTHY, "logged in", *at, *who, *right)
        secretly(probe, UNHEALTHY, "login failed: password", *at, *who, *wrong)
    safe = ("--user=safe", "--database=shop", *right)
    secretly(probe, HEALTHY, "logged in", *at, *safe, "--cert", client)
    assert probe(*at, *safe)[0] == UNHEALTHY
    assert probe(*at, *safe, "--cert", stranger)[0] == UNHEALTHY
    assert probe(*at[:3], *safe, "--cert", client)[0] == UNHEALTHY
    ends(probe, HEALTHY, "accepts connections (no pg_hba.conf entry", *at)


# --- mariadb ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mariadb(server: Server, files: Files) -> Server:
    mariadbd, data = program("mariadbd"), server.directory / "data"
    install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
    server.run(*install, "--auth-root-authentication-method=normal", "--skip-test-db")
    words = [mariadbd, "--no-defaults", f"--datadir={data}", f"--socket={server.unix}"]
    words += [f"--port={server.port}", f"--bind-address={HOST}", "--skip-name-resolve"]
    words += [f"--pid-file={server.directory}/pid", "--innodb-flush-log-at-trx-commit=0"]
    for name, file in (("cert", "server.crt"), ("key", "server.key"), ("ca", "ca.pem")):
        words += [f"--ssl-{name}={server.directory / file}"]
    server.start(*words)
    server.listens()
    sql = "INSTALL SONAME 'auth_ed25519'; CREATE DATABASE shop;"
    for user, more in (("app", ""), ("safe", " REQUIRE SSL"), ("certain", " REQUIRE X509")):
        sql += f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'{more};"
        sql += f"GRANT SELECT ON shop.* TO {user}@'%';"
    sql += f"CREATE USER odd@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}');"
    client = [program("mariadb"), "--no-defaults", f"--socket={server.unix}", "-uroot"]
    server.run(*client, "--default-character-set=utf8mb4", "-e", sql)
    return server


def test_mariadb_passwords(probe: Probe, mariadb: Server, files: Files) -> None:
    right, wrong = files.words("right"), files.words("wrong")
    for at in ((mariadb.at,), ("--unix-socket", mariadb.unix)):
        app = ("mysql", *at, "--user", "app")
        secretly(probe, HEALTHY, "logged in", *app, *right)
        secretly(probe, HEALTHY, "logged in", *app, *right, "--database", "shop")
        secretly(probe, UNHEALTHY, "login failed: Access denied for user 'app'", *app, *wrong)
        secretly(probe, HEALTHY, "access denied without a password", *app)
        secretly(probe, UNHEALTHY, "client_ed25519, which", "mysql", *at, "--user=odd", *right)
        assert probe(*app, *right, "--database", "none")[0] == UNHEALTHY
        assert probe("mysql", *at, "--user=nobody", *right)[0] == UNHEALTHY
    secretly(probe, UNHEALTHY, "login failed", "mysql", mariadb.at, "--user=safe", *right)


def test_mariadb_over_tls(
    probe: Probe, mariadb: Server, files: Files, interpreter: Interpreter
) -> None:
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", "mysql", mariadb.at, "--tls")
        return
    right, wrong = files.words("right"), files.words("wrong")
    at = ("mysql", f"localhost:{mariadb.port}", "--tls", "--ca-file", files.ca)
    client, stranger = files.directory / "client", files.directory / "stranger"
    for user in ("app", "safe"):
        secretly(probe, HEALTHY, "logged in", *at, "--user", user, *right)
        secretly(probe, UNHEALTHY, "login failed: Access", *at, "--user", user, *wrong)
    certain = (*at, "--user=certain", *right)
    secretly(probe, HEALTHY, "logged in", *certain, "--cert", client)
    assert probe(*certain)[0] == UNHEALTHY
    assert probe(*certain, "--cert", stranger)[0] == UNHEALTHY
    ends(probe, HEALTHY, "ready, version", *at)
    assert probe(*at[:3], "--user=app", *right)[0] == UNHEALTHY
    assert mariadb.process is not None
    mariadb.process.send_signal(signal.SIGTERM)
    mariadb.process.wait(timeout=SECONDS)
    ends(probe, UNHEALTHY, "refused", *at, "--user=app", *right)


# --- memcached -------------------------------------------------------------------------------------------------------


def test_memcached_over_tls(
    probe: Probe, server: Server, files: Files, interpreter: Interpreter
) -> None:
    """It has no passwords but those of SASL, which is for another protocol; a client's certificate is its login."""
    listen = [program("memcached"), "-Z", "-l", HOST, "-p", str(server.port), "-U", "0"]
    names = ("ssl_chain_cert=server.crt", "ssl_key=server.key", "ssl_ca_cert=ca.pem")
    server.start(*listen, "-o", ",".join((*names, "ssl_verify_mode=2")))
    server.listens()
    at = f"localhost:{server.port}"
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", "memcached", at, "--tls")
        return
    tls = ("--tls", "--ca-file", files.ca)
    client, stranger = files.directory / "client", files.directory / "stranger"
    ends(probe, HEALTHY, "ready, version 1.", "memcached", at, *tls, "--cert", client)
    ends(probe, HEALTHY, "connected in", "tcp", at, *tls, "--cert", client)
    for check in ("memcached", "tcp"):
        assert probe(check, at, *tls)[0] == UNHEALTHY
        assert probe(check, at, *tls, "--cert", stranger)[0] == UNHEALTHY
        assert probe(check, at, "--tls", "--cert", client)[0] == UNHEALTHY
    ends(probe, UNHEALTHY, "", "memcached", at)
