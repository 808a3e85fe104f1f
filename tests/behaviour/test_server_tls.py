"""The checks of sockets and data stores over TLS: from the first byte on, or after a switch in the protocol."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, flood, greet, serving
from tests.behaviour.test_other_checks import AMQP_START, MYSQL_GREETING, mysql, pg
from tests.integration.certificates import HOST, context_of
from tests.interpreters import Interpreter, interpreters

Switch = Callable[[socket.socket], None]

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
CLIENT_SSL = 0x800
MYSQL_WITHOUT_TLS = MYSQL_GREETING.replace(b"\xff\xff\x21", b"\xff\xf7\x21")


def at_once(_: socket.socket) -> None:
    """TLS from the first byte on."""


def as_postgres(connection: socket.socket) -> None:
    assert connection.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
    connection.sendall(b"S")


def as_mysql(connection: socket.socket) -> None:
    connection.sendall(mysql(0, MYSQL_GREETING))
    wish = connection.recv(36, socket.MSG_WAITALL)
    assert wish[:4] == b"\x20\0\0\1"  # the packet of a login, cut off before the name
    assert int.from_bytes(wish[4:8], "little") & CLIENT_SSL


@dataclass(frozen=True, kw_only=True)
class Case:
    """A check, how its server gets to TLS, and what it then says."""

    switch: Switch = at_once
    first: bytes = b""
    replies: tuple[bytes, ...] = ()
    options: tuple[str, ...] = ()
    says: str


CASES: dict[str, Case] = {
    "tcp": Case(first=b"* OK\r\n", options=("--expect", "OK"), says="connected, got 'OK'"),
    "redis": Case(replies=(b"+PONG\r\n",), says="PONG"),
    "memcached": Case(replies=(b"VERSION 1.6\r\n",), says="ready, version 1.6"),
    "amqp": Case(replies=(AMQP_START,), says="ready"),
    "postgres": Case(switch=as_postgres, replies=(pg(b"R", bytes(4)),), says="accepts connections"),
    "mysql": Case(switch=as_mysql, says="ready, version 8.4.0"),
}
LOGIN = Case(
    switch=as_mysql,
    replies=(mysql(3, b"\0\0\0\2\0\0\0"),),
    options=("--user", "probe"),
    says="ready, version 8.4.0",
)


def secured(case: Case, context: ssl.SSLContext, seen: list[bytes] | None = None) -> Handler:
    def handle(connection: socket.socket) -> None:
        case.switch(connection)
        with context.wrap_socket(connection, server_side=True) as session:
            greet(first=case.first, replies=case.replies, seen=seen)(session)

    return handle


@pytest.fixture(params=[one for one in interpreters() if one.has_tls])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that have TLS."""
    return Interpreter(request.param)


@pytest.mark.parametrize("check", list(CASES))
def test_servers(probe: Probe, authority: CA, ca: str, check: str) -> None:
    case = CASES[check]
    with serving(secured(case, context_of(authority.issue_cert(HOST)))) as server:
        words = (check, server.address, "--tls", *case.options)
        good = probe(*words, "--ca-file", ca)
        insecure = probe(*words, "--insecure")
        unknown = probe(*words)
        other = probe(*words, "--ca-file", ca, "--server-name", "other.example")
    for done in (good, insecure):
        assert (done.returncode, f": {case.says} in " in done.stdout) == (0, True)
    for done in (unknown, other):
        assert (done.returncode, "TLS with" in done.stdout) == (1, True)


def test_the_name_is_that_of_the_host(probe: Probe, authority: CA, ca: str) -> None:
    case = CASES["redis"]
    with serving(secured(case, context_of(authority.issue_cert("localhost")))) as server:
        options = ("--tls", "--ca-file", ca)
        assert probe("redis", f"localhost:{server.port}", *options).returncode == 0
        assert probe("redis", server.address, *options).returncode == 1
        assert probe("redis", f"localhost:{server.port}", *options, "--port", "1").returncode == 1


def test_over_a_unix_socket_it_is_localhost(
    probe: Probe, authority: CA, ca: str, tmp_path: Path
) -> None:
    context = context_of(authority.issue_cert("localhost"))
    with serving(secured(CASES["redis"], context), path=tmp_path / "a:b") as server:
        words = ("redis", "--unix-socket", server.address, "--tls", "--ca-file", ca)
        assert probe(*words).returncode == 0


def test_a_client_shows_its_certificate(
    probe: Probe, authority: CA, ca: str, tmp_path: Path
) -> None:
    context = context_of(authority.issue_cert(HOST))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = tmp_path / "client.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(client))
    for check, case in CASES.items():
        with serving(secured(case, context)) as server:
            words = (check, server.address, "--tls", "--ca-file", ca, *case.options)
            assert probe(*words, "--cert", str(client)).returncode == 0
            assert probe(*words).returncode == 1


QUIET = {"tcp": Case(says="connected"), "mysql": CASES["mysql"]}
"""Those that say nothing after the handshake, and hear nothing."""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("check", list(QUIET))
def test_a_refusal_after_the_handshake_is_waited_for(
    probe: Probe, authority: CA, ca: str, tmp_path: Path, check: str, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the client has finished before the server looks at its certificate."""
    context = context_of(authority.issue_cert(HOST), version, version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    context.num_tickets = 0  # they would say that all is well
    known, unknown = tmp_path / "known.pem", tmp_path / "unknown.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(known))
    CA().issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(unknown))
    case = QUIET[check]
    with serving(secured(case, context)) as server:
        words = (check, server.address, "--tls", "--ca-file", ca)
        good = probe(*words, "--cert", str(known))
        stranger = probe(*words, "--cert", str(unknown))
        nobody = probe(*words)
    assert (good.returncode, f": {case.says} in " in good.stdout) == (0, True), good
    assert [stranger.returncode, nobody.returncode] == [1, 1], (stranger, nobody)


@pytest.mark.parametrize("check", list(QUIET))
def test_the_end_after_the_handshake_does_not_pass(
    probe: Probe, authority: CA, ca: str, check: str
) -> None:
    context = context_of(authority.issue_cert(HOST))
    context.num_tickets = 0

    def end(connection: socket.socket) -> None:
        QUIET[check].switch(connection)
        with context.wrap_socket(connection, server_side=True):
            pass

    with serving(end) as server:
        done = probe(check, server.address, "--tls", "--ca-file", ca)
    assert (done.returncode, "ended the connection after the TLS" in done.stdout) == (1, True), done


def test_data_ends_the_patience(probe: Probe, authority: CA, ca: str) -> None:
    context = context_of(authority.issue_cert(HOST))
    case = Case(first=b"220 hello\r\n", says="connected")
    with serving(secured(case, context)) as server:
        done = probe("tcp", server.address, "--tls", "--ca-file", ca)
    assert (done.returncode, f": {case.says} in " in done.stdout) == (0, True), done


def test_a_login_to_mysql_goes_over_tls(probe: Probe, authority: CA, ca: str) -> None:
    seen: list[bytes] = []
    with serving(secured(LOGIN, context_of(authority.issue_cert(HOST)), seen)) as server:
        done = probe("mysql", server.address, "--tls", "--ca-file", ca, *LOGIN.options)
    assert done.returncode == 0, done.stdout
    [login] = seen
    assert login[3] == 2  # the second packet of ours
    assert int.from_bytes(login[4:8], "little") & CLIENT_SSL
    assert b"probe\0" in login


@pytest.mark.parametrize(
    ("check", "handler"),
    [
        ("postgres", greet(replies=(b"N",))),
        ("mysql", greet(first=mysql(0, MYSQL_WITHOUT_TLS))),
    ],
)
def test_a_server_without_tls_does_not_pass(probe: Probe, check: str, handler: Handler) -> None:
    with serving(handler) as server:
        done = probe(check, server.address, "--tls", "--insecure")
    assert (done.returncode, "it has no TLS" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("check", "handler"),
    [
        ("postgres", greet(replies=(b"S" + pg(b"R", bytes(4)),))),
        ("mysql", greet(first=mysql(0, MYSQL_GREETING) + mysql(2, b"\0\0\0\2\0\0\0"))),
    ],
)
def test_nothing_may_come_before_the_handshake(probe: Probe, check: str, handler: Handler) -> None:
    """It would be read as if it had come over TLS (CVE-2021-23222)."""
    with serving(handler) as server:
        done = probe(check, server.address, "--tls", "--insecure")
    assert (done.returncode, "before the TLS handshake" in done.stdout) == (1, True)


def test_the_port_of_amqp(probe: Probe) -> None:
    assert "amqp localhost:5671: " in probe("amqp", "--tls", "--insecure").stdout
    assert "amqp localhost:5672: " in probe("amqp").stdout


ENDLESS_RECORDS = {
    "warnings": b"\x15\x03\x03\0\2\1\x5a",
    "ChangeCipherSpec": b"\x14\x03\x03\0\1\1",
    "empty handshakes": b"\x16\x03\x03\0\0",
    "empty data": b"\x17\x03\x03\0\0",
}


@pytest.mark.parametrize("name", list(ENDLESS_RECORDS))
def test_records_that_lead_nowhere_end_at_the_deadline(probe: Probe, name: str) -> None:
    with serving(flood(b"", ENDLESS_RECORDS[name] * 999)) as server:
        words = ("--tls", "--insecure", "--timeout", "700ms")
        done = probe("redis", server.address, *words, cpu=3)
    assert (done.returncode, "internal error" in done.stdout) == (1, False)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("127.0.0.1",), None),
        (("127.0.0.1", "--server-name", HOST), None),
        (("localhost",), "localhost"),
        (("127.0.0.1", "--server-name", "a.example"), "a.example"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_address_is_compared_but_never_said(
    probe: Probe,
    authority: CA,
    ca: str,
    words: tuple[str, ...],
    name: str | None,
    version: ssl.TLSVersion,
) -> None:
    """RFC 6066, section 3."""
    said: list[str | None] = []
    context = context_of(authority.issue_cert(HOST, "localhost", "a.example"))
    context.minimum_version = context.maximum_version = version
    context.sni_callback = lambda _, told, __: said.append(told)
    other = context_of(authority.issue_cert("127.0.0.99"))
    options = ("--tls", "--ca-file", ca)
    with serving(secured(CASES["redis"], context)) as server:
        good = probe("redis", f"{words[0]}:{server.port}", *words[1:], *options)
    with serving(secured(CASES["redis"], other)) as server:
        bad = probe("redis", f"{words[0]}:{server.port}", *words[1:], *options)
    assert (good.returncode, bad.returncode, said) == (0, 1, [name])
