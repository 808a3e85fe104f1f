"""The probe and real brokers, mail, name and websocket servers. Kafka and MongoDB, not in Debian: see test_brokers."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from trustme import CA

from tests.integration.real_server import HOST, SECONDS, Server, free_port, own_server, program
from tests.integration.test_probe_servers import (
    HEALTHY,
    UNHEALTHY,
    Probe,
    becomes,
    ends,
    full,
    interpreter,
    probe,
    says,
    server,
)
from tests.integration.traces import wait_for
from tests.interpreters import Interpreter

__all__ = ["interpreter", "probe", "server"]

pytestmark = pytest.mark.builds


@pytest.fixture
def authority(server: Server) -> CA:
    """Whoever signed the server's chain.pem; its own certificate is ca.pem."""
    authority = CA()
    leaf = authority.issue_cert("localhost", HOST)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(server.directory / "chain.pem"))
    authority.cert_pem.write_to_path(str(server.directory / "ca.pem"))
    client = authority.issue_cert("client")
    client.private_key_and_cert_chain_pem.write_to_path(str(server.directory / "client.pem"))
    for path in server.directory.glob("*.pem"):
        path.chmod(0o644)
    return authority


def without_tls(probe: Probe, interpreter: Interpreter, *words: str | Path) -> bool:
    """Whether it has none; then it must say so."""
    if not interpreter.has_tls:
        ends(probe, UNHEALTHY, "has no TLS", *words)
    return not interpreter.has_tls


# --- mosquitto -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("authority")
def test_mosquitto(probe: Probe, server: Server, interpreter: Interpreter) -> None:
    mosquitto, tls, mutual = program("mosquitto"), free_port(), free_port()
    right, wrong, users = (server.directory / name for name in ("right", "wrong", "users"))
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    server.run(program("mosquitto_passwd"), "-b", "-c", users, "app", "correct horse")
    keys = "certfile chain.pem\nkeyfile chain.pem\ncafile ca.pem\n"
    (server.directory / "conf").write_text(
        f"listener {server.port} {HOST}\nallow_anonymous false\npassword_file users\n"
        f"listener {tls} {HOST}\n{keys}listener {mutual} {HOST}\n{keys}require_certificate true\n"
    )
    at = ("mqtt", server.at)
    ends(probe, UNHEALTHY, "refused by", *at)
    server.start(mosquitto, "-c", server.directory / "conf")
    server.listens()
    ends(probe, HEALTHY, ": ready (not authorized without a password) in", *at)
    login = (*at, "--user", "app")
    ends(probe, HEALTHY, ": ready in", *login, "--password-file", right)
    ends(probe, UNHEALTHY, ": refused: not authorized", *login, "--password-file", wrong)
    ends(probe, UNHEALTHY, ": refused: ", *at, "--user", "nobody", "--password-file", right)
    ends(probe, HEALTHY, ": ready in", f"mqtt://app:correct%20horse@{server.at}/topic")

    url = f"mqtts://app:correct%20horse@localhost:{tls}"
    ca = ("--ca-file", server.directory / "ca.pem")
    if not without_tls(probe, interpreter, url, *ca):
        ends(probe, HEALTHY, ": ready in", url, *ca)
        ends(probe, UNHEALTHY, "TLS with", url)
        client = ("--cert", server.directory / "client.pem")
        secure = f"mqtts://app:correct%20horse@localhost:{mutual}"
        ends(probe, HEALTHY, ": ready in", secure, *ca, *client)
        assert probe(secure, *ca)[0] == UNHEALTHY
    # A hundred probes in a row: each has a name of its own, and takes its leave.
    for _ in range(100):
        ends(probe, HEALTHY, ": ready in", *login, "--password-file", right)
    log = (server.directory / "log").read_text()
    assert "already connected" not in log
    assert "protocol error" not in log
    server.stop(signal.SIGTERM)
    ends(probe, UNHEALTHY, "refused by", *at)


# --- rabbitmq --------------------------------------------------------------------------------------------------------


@contextmanager
def rabbitmq(server: Server, mqtt: int) -> Iterator[None]:
    """The broker, and the name service of Erlang that it would else start and leave behind."""
    directory = server.directory
    (directory / "conf").write_text(
        f"listeners.tcp.1 = {HOST}:{server.port}\nmqtt.listeners.tcp.1 = {HOST}:{mqtt}\n"
    )
    (directory / "plugins").write_text("[rabbitmq_mqtt].\n")
    settings = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": directory,
        "ERL_EPMD_PORT": free_port(),
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_NODENAME": f"probe{server.port}@localhost",
        "RABBITMQ_CONFIG_FILE": directory / "conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": directory / "plugins",
        "RABBITMQ_MNESIA_BASE": directory / "data",
        "RABBITMQ_LOG_BASE": directory,
        "RABBITMQ_LOGS": "-",
        "RUNNING_UNDER_SYSTEMD": 1,  # so that it is one process, and no shell that waits for it
    }
    environment = ["env", "-i", *(f"{name}={value}" for name, value in settings.items())]
    with own_server() as names:
        names.port = int(str(settings["ERL_EPMD_PORT"]))
        names.start(*environment, program("epmd"), "-address", HOST)
        names.listens()
        broker = program("rabbitmq-server", "/usr/lib/rabbitmq/bin")
        if broker.startswith("/usr/sbin"):  # for root and the user rabbitmq alone
            broker = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        server.start(*environment, broker)
        yield
        server.stop()


def test_rabbitmq(probe: Probe, server: Server) -> None:
    mqtt = free_port()
    right, wrong = server.directory / "right", server.directory / "wrong"
    right.write_text("guest")
    wrong.write_text("ghost")
    at, broker = ("amqp", server.at), ("mqtt", f"{HOST}:{mqtt}")
    with rabbitmq(server, mqtt):
        ends(probe, UNHEALTHY, "refused by", *at)  # it takes its time
        server.listens()
        becomes(probe, HEALTHY, *at)
        ends(probe, HEALTHY, ": ready in", *at)
        becomes(probe, HEALTHY, *broker)
        guest = (*broker, "--user", "guest")
        ends(probe, HEALTHY, ": ready in", *guest, "--password-file", right)
        ends(probe, UNHEALTHY, ": refused: ", *guest, "--password-file", wrong)
    ends(probe, UNHEALTHY, "refused by", *at)


# --- exim ------------------------------------------------------------------------------------------------------------

EXIM = """
primary_hostname = mail.example
spool_directory = {directory}/spool
log_file_path = {directory}/%slog
pid_file_path =
local_interfaces = <; [{host}]:{port}; [{host}]:{tls}
tls_on_connect_ports = {tls}
tls_advertise_hosts = {advertise}
tls_certificate = {directory}/chain.pem
keep_environment =
exim_user = {user}
exim_group = {user}
smtp_accept_max = 4
host_lookup =
rfc1413_hosts =
"""


def exim(server: Server, tls: int, advertise: str) -> None:
    texts = {"directory": server.directory, "host": HOST, "port": server.port, "tls": tls}
    user = server.directory.stat().st_uid
    (server.directory / "conf").write_text(EXIM.format(**texts, advertise=advertise, user=user))
    server.start(program("exim4"), "-C", server.directory / "conf", "-bdf")
    server.listens()


@pytest.mark.usefixtures("authority")
def test_exim(probe: Probe, server: Server, interpreter: Interpreter) -> None:
    tls, at = free_port(), ("smtp", f"localhost:{server.port}")
    ends(probe, UNHEALTHY, "refused by", *at)
    exim(server, tls, "*")
    ends(probe, HEALTHY, ": ready, mail.example ESMTP Exim", *at)
    ends(probe, HEALTHY, "ESMTP", f"smtp://localhost:{server.port}")
    words = ("--await", "220 ", "--send", "NOOP\\r\\n", "--expect", "250 OK")
    ends(probe, HEALTHY, "got '250 OK'", "tcp", server.at, *words)
    full(probe, "its greeting is 421 Too many", server, 5, *at)
    becomes(probe, HEALTHY, *at)
    ca = ("--ca-file", server.directory / "ca.pem")
    if without_tls(probe, interpreter, *at, "--starttls", *ca):
        return
    for secure in ((*at, "--starttls"), ("smtp", f"localhost:{tls}", "--tls")):
        ends(probe, HEALTHY, ": ready, mail.example", *secure, *ca)
        ends(probe, UNHEALTHY, "TLS with", *secure)
    ends(probe, HEALTHY, ": ready, mail.example", f"smtps://localhost:{tls}", *ca)
    server.stop()
    exim(server, tls, "")
    ends(probe, HEALTHY, ": ready, ", *at)
    ends(probe, UNHEALTHY, "it has no STARTTLS", *at, "--starttls", *ca)


# --- dnsmasq ---------------------------------------------------------------------------------------------------------


def test_dnsmasq(probe: Probe, server: Server) -> None:
    at = ("--server", server.at)
    ends(probe, UNHEALTHY, "connection refused from", "dns", "app.example", *at)
    many = [f"--host-record=many.example,10.1.{n // 250}.{n % 250}" for n in range(100)]
    server.start(
        *(program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-daemon"),
        *("--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={HOST}"),
        *(f"--port={server.port}", "--local=/example/", f"--pid-file={server.directory}/pid"),
        *("--host-record=app.example,10.0.0.7,fd00::7", "--cname=www.example,app.example"),
        *many,
    )
    server.listens()
    ends(probe, HEALTHY, ": resolves to 10.0.0.7, fd00::7 in", "dns", "app.example", *at)
    ends(probe, HEALTHY, ": resolves to fd00::7 in", "dns", "www.example", *at, "--type=AAAA")
    both = ("--expect", "10.0.0.7", "--expect", "fd00:0::7")
    ends(probe, HEALTHY, ": resolves to", "dns", "WWW.example.", *at, *both)
    ends(probe, UNHEALTHY, ", not to 10.0.0.8", "dns", "app.example", *at, "--expect", "10.0.0.8")
    ends(probe, UNHEALTHY, "no such name", "dns", "none.example", *at)
    ends(probe, UNHEALTHY, "it has no address", "dns", "many.example", *at, "--type", "AAAA")
    # More than fits into a datagram: asked for again by TCP.
    ends(probe, HEALTHY, ": resolves to", "dns", "many.example", *at, "--expect", "10.1.0.99")
    ends(probe, UNHEALTHY, "refused from", "dns", "elsewhere.invalid", *at)
    # The root's name servers, as bytes: refused, which is an answer.
    query = "\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\0\\0\\x02\\0\\x01"
    udp = ("udp", server.at, "--send", query)
    ends(probe, HEALTHY, "answered by", *udp, "--expect", "\\x12\\x34\\x81")
    ends(probe, UNHEALTHY, "which sent", *udp, "--expect", "other", "--timeout", "500ms")
    server.stop()
    ends(probe, UNHEALTHY, "refused by", *udp)


# --- websocketd ------------------------------------------------------------------------------------------------------


@contextmanager
def websocketd(server: Server, *words: str) -> Iterator[None]:
    server.start(
        *(program("websocketd"), f"--port={server.port}", f"--address={HOST}", "--loglevel=error"),
        *words,
        "/bin/cat",
    )
    server.listens()
    yield
    server.stop()


@pytest.mark.usefixtures("authority")
def test_websocketd(probe: Probe, server: Server, interpreter: Interpreter) -> None:
    url = f"localhost:{server.port}/chat"
    ends(probe, UNHEALTHY, "refused by", "websocket", f"ws://{url}")
    with websocketd(server):
        ends(probe, HEALTHY, ": 101, switched to websocket in", f"ws://{url}")
        ends(probe, UNHEALTHY, "the subprotocol is ''", f"ws://{url}", "--subprotocol", "mqtt")
        ends(probe, UNHEALTHY, "not in 200-399", f"http://{url}")
    # What it was just starting for somebody may outlive it for a moment, with its port.
    gone = partial(says, probe, "refused by", f"ws://{url}")
    wait_for(gone, seconds=SECONDS, what="a closed port")
    with websocketd(server, "--sameorigin"):
        ends(probe, HEALTHY, ": 101,", f"ws://{url}", "--header", f"Origin: http://{url}")
        ends(probe, UNHEALTHY, ": 403, not 101", f"ws://{url}", "--header", "Origin: http://other")
    wait_for(gone, seconds=SECONDS, what="a closed port")
    ca = ("--ca-file", server.directory / "ca.pem")
    if without_tls(probe, interpreter, f"wss://{url}", *ca):
        return
    chain = str(server.directory / "chain.pem")
    with websocketd(server, "--ssl", f"--sslcert={chain}", f"--sslkey={chain}"):
        ends(probe, HEALTHY, ": 101, switched to websocket in", f"wss://{url}", *ca)
        ends(probe, UNHEALTHY, "TLS with", f"wss://{url}")
