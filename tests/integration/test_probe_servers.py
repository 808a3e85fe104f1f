"""The probe and the real servers: ready, starting, full, stopping, gone."""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from trustme import CA

from tests.integration.nginx import start_nginx
from tests.integration.real_server import (
    HOST,
    SECONDS,
    Server,
    free_port,
    own_server,
    program,
)
from tests.integration.traces import wait_for
from tests.interpreters import FROZEN, ROOT, Interpreter, command_of, interpreters

pytestmark = pytest.mark.builds

HEALTHY, UNHEALTHY = 0, 1

Probe = Callable[..., tuple[int, str]]


@pytest.fixture(params=interpreters())
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    return Interpreter(request.param)


@pytest.fixture
def probe(interpreter: Interpreter, request: pytest.FixtureRequest) -> Probe:
    needed = interpreter in FROZEN
    command = command_of(interpreter, request.getfixturevalue("frozen") if needed else None)

    def run(*words: str | Path) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            check=False,
            env={},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=20,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    return run


@pytest.fixture
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


@contextmanager
def connections(server: Server, number: int, first: bytes = b"") -> Iterator[None]:
    """Hold that many connections; ``first`` is what each says, and is answered."""
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(hold(server, first))
        yield


def hold(server: Server, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection((HOST, server.port), 10)
    connection.settimeout(10)
    if first:
        connection.sendall(first)
    with suppress(TimeoutError):
        connection.settimeout(10 if first else 0.2)
        connection.recv(4096)
    return connection


def full(
    probe: Probe, text: str, server: Server, number: int, *words: str | Path, first: bytes = b""
) -> None:
    """The server that so many clients use lets in no other, and the probe says so.

    A server may take its time until it forgets a client of before, and turn away one of these for it: then there
    is one more.
    """
    with connections(server, number, first), ExitStack() as more:

        def turned_away() -> bool:
            code, said = probe(*words)
            if code == UNHEALTHY and text in said:
                return True
            more.enter_context(hold(server, first))
            return False

        wait_for(turned_away, seconds=SECONDS, what=text)


def ends(probe: Probe, code: int, text: str, *words: str | Path) -> None:
    """A run of the probe ends so, and says so."""
    found = probe(*words)
    assert found[0] == code, found
    assert text in found[1]


def says(probe: Probe, text: str, *words: str | Path) -> bool:
    return text in probe(*words)[1]


def becomes(probe: Probe, code: int, *words: str | Path) -> None:
    wait_for(lambda: probe(*words)[0] == code, seconds=SECONDS, what=f"{words} ends with {code}")


# --- nginx -----------------------------------------------------------------------------------------------------------

NGINX = """
ssl_certificate {directory}/chain.pem; ssl_certificate_key {directory}/chain.pem;
server {{
    listen {host}:{port}; listen {host}:{tls} ssl; listen unix:{directory}/s;
    location = /health {{ default_type application/json; return 200 '{{"status": "ok"}}'; }}
    location = /down {{ return 503; }}
    location = /moved {{ return 302 /health; }}
    location = /host {{ return 200 $host; }}
    location = /large {{ root {directory}; }}
}}
server {{
    listen {host}:{mutual} ssl; ssl_protocols {protocol};
    ssl_verify_client on; ssl_client_certificate {directory}/ca.pem;
    location = /who {{ return 200 $ssl_client_s_dn; }}
}}
"""


def own_identity(directory: Path, authority: CA, name: str) -> tuple[str, ...]:
    """The words that show a client's certificate, whose organizational unit is this name."""
    leaf = authority.issue_cert("client.example", organization_unit_name=name)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return ("--cert", str(certificate), "--key", str(key))


def nginx_server(server: Server, authority: CA, protocol: str) -> tuple[int, int, Path]:
    """Start nginx; where it speaks TLS, where it wants a client's certificate for that, and whom to believe."""
    tls, mutual = free_port(), free_port()
    ca = server.directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    leaf = authority.issue_cert("localhost")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(server.directory / "chain.pem"))
    (server.directory / "large").write_bytes(b"x" * 500_000 + b"end")
    texts = {"directory": server.directory, "host": HOST, "port": server.port, "tls": tls}
    start_nginx(server, NGINX.format(**texts, mutual=mutual, protocol=protocol))
    return tls, mutual, ca


def test_nginx(probe: Probe, server: Server, interpreter: Interpreter) -> None:
    tls, _, ca = nginx_server(server, CA(), "TLSv1.3")
    plain, secure = f"http://localhost:{server.port}", f"https://localhost:{tls}"
    ends(probe, HEALTHY, ": 200, json as", "http", f"{plain}/health", "--json", "status=ok")
    ends(probe, HEALTHY, ": 302 in", "http", f"{plain}/moved")
    ends(probe, HEALTHY, "then", "http", f"{plain}/moved", "--follow", "1", "--contains", "ok")
    ends(probe, UNHEALTHY, ": 503, not in", "http", f"{plain}/down")
    ends(probe, HEALTHY, ": 200", "http", f"{plain}/large", "--contains", "end")
    ends(probe, HEALTHY, ": 200", "http", f"{plain}/large", "--method", "HEAD")
    named = ("--header", "Host: app.example", "--contains", "app.example")
    ends(probe, HEALTHY, ": 200", "http", f"{plain}/host", *named)
    ends(probe, HEALTHY, ": 200", "http", "http://app/health", "--unix-socket", server.unix)
    if interpreter.has_tls:
        ends(probe, HEALTHY, ": 200", "http", f"{secure}/large", "--ca-file", ca)
        refused = "certificate refused" if interpreter.has_authorities else "TLS with"
        ends(probe, UNHEALTHY, refused, "http", f"{secure}/health")
        ends(probe, UNHEALTHY, ": 400, not in", "http", f"http://localhost:{tls}/health")

    server.stop()
    ends(probe, UNHEALTHY, "refused", "http", f"{plain}/health")
    ends(probe, UNHEALTHY, "refused", "http", "http://app/", "--unix-socket", server.unix)


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_nginx_that_wants_a_certificate(
    probe: Probe, server: Server, interpreter: Interpreter, tmp_path: Path, protocol: str
) -> None:
    """It makes the handshake without one, too, and says in HTTP that it wants one."""
    authority = CA()
    _, mutual, ca = nginx_server(server, authority, protocol)
    words = ("http", f"https://localhost:{mutual}/who", "--ca-file", str(ca), "--contains")
    known = own_identity(tmp_path, authority, "shop")
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", *words, "shop", *known)
        return
    ends(probe, HEALTHY, ": 200, contains as", *words, "OU=shop", *known)
    ends(probe, UNHEALTHY, "do not contain 'OU=bank'", *words, "OU=bank", *known)
    ends(probe, UNHEALTHY, ": 400, not in", *words, "shop")
    stranger = own_identity(tmp_path, CA(), "stranger")
    ends(probe, UNHEALTHY, ": 400, not in", *words, "stranger", *stranger)
    swapped = (*known[:3], stranger[3])
    ends(probe, UNHEALTHY, "does not fit its certificate", *words, "shop", *swapped)
    unknown = ("http", words[1], "--contains", "OU=shop", *known)
    refused = "certificate refused" if interpreter.has_authorities else "TLS with"
    ends(probe, UNHEALTHY, refused, *unknown)


# --- redis -----------------------------------------------------------------------------------------------------------


def test_redis(probe: Probe, server: Server) -> None:
    words = [program("redis-server"), "--bind", HOST, "--port", str(server.port)]
    words += ["--unixsocket", str(server.unix), "--dir", str(server.directory), "--save", ""]
    secret = server.directory / "secret"
    secret.write_text("correct horse\n")
    server.start(*words)
    server.listens()
    becomes(probe, HEALTHY, "redis", server.at)
    ends(probe, HEALTHY, ": PONG in", "redis", server.at)
    ends(probe, HEALTHY, ": PONG in", "redis", "--unix-socket", server.unix)
    ends(probe, UNHEALTHY, "AUTH failed", "redis", server.at, "--password-file", secret)
    ends(probe, HEALTHY, ": PONG in", f"redis://{server.at}/15")
    ends(probe, UNHEALTHY, "SELECT failed: -ERR", f"redis://{server.at}/99")
    ends(probe, HEALTHY, ": PONG in", "redis", f"unix://{server.unix}?db=3")
    # Something to load slowly, after the next start.
    with socket.create_connection((HOST, server.port), 10) as connection:
        for number in range(300):
            connection.sendall(b"SET key%d %b\r\n" % (number, b"x" * 200))
        connection.sendall(b"SAVE\r\nSHUTDOWN NOSAVE\r\n")
        while connection.recv(65536):
            pass
    assert server.process is not None
    server.process.wait(timeout=SECONDS)
    ends(probe, UNHEALTHY, "refused", "redis", server.at)

    words += ["--requirepass", "correct horse"]
    slowly = ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]
    server.start(*words, *slowly)
    server.listens()
    full = ("redis", server.at, "--password-file", secret)
    ends(probe, UNHEALTHY, "LOADING", *full)
    ends(probe, UNHEALTHY, "password", "redis", server.at)
    becomes(probe, HEALTHY, *full)
    ends(probe, HEALTHY, ": PONG in", *full, "--user", "default")
    ends(probe, HEALTHY, ": PONG in", f"redis://default:correct%20horse@{server.at}/1")
    ends(probe, UNHEALTHY, "AUTH failed", f"redis://:wrong@{server.at}/1")
    ends(probe, UNHEALTHY, "password", f"redis://{server.at}/1")
    ends(probe, UNHEALTHY, "--password-file", "redis", server.at)


# --- postgresql ------------------------------------------------------------------------------------------------------

STARTUP = b"user\0postgres\0database\0postgres\0\0"
STARTUP = (len(STARTUP) + 8).to_bytes(4, "big") + b"\0\3\0\0" + STARTUP


def test_postgresql(probe: Probe, server: Server) -> None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    directories = [str(path) for path in reversed(versions)]
    data = server.directory / "data"
    initdb = program("initdb", *directories)
    server.run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale")
    words = [program("postgres", *directories), "-D", str(data), "-F", "-h", HOST]
    words += ["-p", str(server.port), "-k", str(server.directory)]
    for setting in ("max_connections=2", "superuser_reserved_connections=0", "max_wal_senders=0"):
        words += ["-c", setting]
    at = ("postgres", server.at)
    ends(probe, UNHEALTHY, "refused", *at)
    server.start(*words)
    server.listens()
    becomes(probe, HEALTHY, *at)
    ends(probe, HEALTHY, "accepts connections", *at)
    socket_file = server.directory / f".s.PGSQL.{server.port}"
    ends(probe, HEALTHY, "accepts connections", "postgres", "--unix-socket", socket_file)
    directory = f"host={server.directory}&port={server.port}"
    ends(probe, HEALTHY, "accepts connections", f"postgres://postgres@{server.at}/postgres")
    ends(probe, HEALTHY, "accepts connections", f"postgresql:///postgres?{directory}")
    ends(probe, HEALTHY, "accepts", "postgres", "-h", server.directory, "-p", str(server.port))
    full(probe, "(53300)", server, 2, *at, first=STARTUP)
    becomes(probe, HEALTHY, *at)
    access = data / "pg_hba.conf"
    assert server.process is not None
    for method, text in (
        ("scram-sha-256", "accepts connections in"),
        ("reject", "accepts connections (pg_hba.conf rejects"),
        ("trust", "accepts connections in"),
    ):
        access.write_text(f"host all all all {method}\n")
        server.process.send_signal(signal.SIGHUP)
        found = partial(says, probe, text, *at)
        wait_for(found, seconds=SECONDS, what=text)
        assert probe(*at)[0] == HEALTHY
    with connections(server, 1, STARTUP):
        server.process.send_signal(signal.SIGTERM)  # it waits for its clients, and lets none in
        becomes(probe, UNHEALTHY, *at)
        ends(probe, UNHEALTHY, "shutting down (57P03)", *at)
    server.process.wait(timeout=SECONDS)
    ends(probe, UNHEALTHY, "refused", *at)


# --- mariadb ---------------------------------------------------------------------------------------------------------


def test_mariadb(probe: Probe, server: Server) -> None:
    mariadbd, data = program("mariadbd"), server.directory / "data"
    install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
    server.run(*install, "--auth-root-authentication-method=normal", "--skip-test-db")
    at = ("mysql", server.at)
    ends(probe, UNHEALTHY, "refused", *at)
    words = [mariadbd, "--no-defaults", f"--datadir={data}", f"--socket={server.unix}"]
    words += [f"--port={server.port}", f"--bind-address={HOST}", "--max-connections=10"]
    words += [f"--pid-file={server.directory}/pid", "--innodb-flush-log-at-trx-commit=0"]
    server.start(*words)
    server.listens()
    becomes(probe, HEALTHY, *at)
    ends(probe, HEALTHY, "ready, version 1", *at)
    ends(probe, HEALTHY, "ready, version", "mysql", "--unix-socket", server.unix)
    ends(probe, HEALTHY, "ready, version", *at, "--user", "root")
    ends(probe, HEALTHY, "access denied", *at, "--user", "nobody-there")
    ends(probe, HEALTHY, "ready, version", f"mariadb://root@{server.at}/")
    full(probe, "Too many connections (1040)", server, 12, *at)
    becomes(probe, HEALTHY, *at)
    # A hundred probes with --user must not make the server refuse the host of the probe.
    for _ in range(100):
        ends(probe, HEALTHY, "ready", *at, "--user", "root")
    server.stop(signal.SIGTERM)
    ends(probe, UNHEALTHY, "refused", *at)


# --- memcached -------------------------------------------------------------------------------------------------------


def test_memcached(probe: Probe, server: Server) -> None:
    words = [program("memcached"), "-l", HOST, "-p", str(server.port), "-U", "0", "-c", "64"]
    server.start(*words, "-o", "maxconns_fast")
    server.listens()
    at = ("memcached", server.at)
    becomes(probe, HEALTHY, *at)
    ends(probe, HEALTHY, "ready, version 1.", *at)
    full(probe, "Too many open connections", server, 70, *at, first=b"version\r\n")
    becomes(probe, HEALTHY, *at)
    server.stop()
    ends(probe, UNHEALTHY, "refused", *at)


# --- grpc ------------------------------------------------------------------------------------------------------------


@contextmanager
def grpc_server(
    servicer: health.HealthServicer | None, credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    with ThreadPoolExecutor(4) as workers:
        server = grpc.server(workers)
        if servicer is not None:
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        if credentials is None:
            port = server.add_insecure_port(f"{HOST}:0")
        else:
            port = server.add_secure_port(f"{HOST}:0", credentials)
        server.start()
        try:
            yield f"localhost:{port}"
        finally:
            server.stop(0).wait(SECONDS)


def test_grpc(probe: Probe) -> None:
    servicer, states = health.HealthServicer(), health_pb2.HealthCheckResponse
    servicer.set("", states.SERVING)
    servicer.set("shop", states.NOT_SERVING)
    with grpc_server(servicer) as at:
        ends(probe, HEALTHY, ": SERVING in", "grpc", at)
        ends(probe, UNHEALTHY, ": NOT_SERVING", "grpc", at, "--service", "shop")
        ends(probe, UNHEALTHY, "NOT_FOUND", "grpc", at, "--service", "bank")
        ends(probe, HEALTHY, ": SERVING in", f"grpc://{at}")
        flags = ("-rpc-header=x-a: b", "-rpc-timeout=9s", "--authority", "shop.example")
        ends(probe, HEALTHY, ": SERVING in", "grpc", f"-addr={at}", *flags)
        servicer.set("shop", states.SERVING)
        ends(probe, HEALTHY, ": SERVING in", "grpc", at, "--service", "shop")
        servicer.enter_graceful_shutdown()
        ends(probe, UNHEALTHY, ": NOT_SERVING", "grpc", at)
    ends(probe, UNHEALTHY, "refused", "grpc", at)
    with grpc_server(None) as at:
        ends(probe, UNHEALTHY, "UNIMPLEMENTED", "grpc", at)


def test_grpc_over_tls(probe: Probe, interpreter: Interpreter, tmp_path: Path) -> None:
    authority, ca = CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    leaf = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)

    with grpc_server(servicer, credentials) as at:
        assert probe("grpc", at)[0] == UNHEALTHY
        if not interpreter.has_tls:
            ends(probe, UNHEALTHY, "has no TLS", "grpc", at, "--tls", "--ca-file", str(ca))
            return
        ends(probe, HEALTHY, ": SERVING in", "grpc", at, "--tls", "--ca-file", str(ca))
        ends(probe, HEALTHY, ": SERVING in", f"grpcs://{at}", "-tls-ca-cert", str(ca))
        refused = "certificate refused" if interpreter.has_authorities else "TLS with"
        ends(probe, UNHEALTHY, refused, "grpc", at, "--tls")


def test_grpc_that_wants_a_certificate(
    probe: Probe, interpreter: Interpreter, tmp_path: Path
) -> None:
    authority, ca = CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    leaf = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(leaf.private_key_pem.bytes(), chain)],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    servicer = health.HealthServicer()
    servicer.set("shop", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("bank", health_pb2.HealthCheckResponse.NOT_SERVING)

    with grpc_server(servicer, credentials) as at:
        words = ("grpc", at, "--tls", "--ca-file", str(ca), "--service")
        known = own_identity(tmp_path, authority, "client")
        if not interpreter.has_tls:
            ends(probe, UNHEALTHY, "has no TLS", *words, "shop", *known)
            return
        ends(probe, HEALTHY, ": SERVING in", *words, "shop", *known)
        ends(probe, UNHEALTHY, ": NOT_SERVING", *words, "bank", *known)
        assert probe(*words, "shop")[0] == UNHEALTHY
        assert probe(*words, "shop", *own_identity(tmp_path, CA(), "stranger"))[0] == UNHEALTHY
        assert probe("grpc", at, "--service", "shop")[0] == UNHEALTHY
