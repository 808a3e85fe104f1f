"""URLs as targets, against servers that speak the protocol."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, greet, serving
from tests.behaviour.test_other_checks import AMQP_START, GRPC, MYSQL_GREETING, mysql, pg
from tests.integration.certificates import HOST, context_of
from tests.interpreters import Interpreter

TALKS: dict[str, tuple[Handler, str]] = {
    "redis": (greet(replies=(b"+PONG\r\n",)), "redis"),
    "postgres": (greet(replies=(pg(b"R", bytes(4)),)), "postgres"),
    "postgresql": (greet(replies=(pg(b"R", bytes(4)),)), "postgres"),
    "mysql": (greet(first=mysql(0, MYSQL_GREETING)), "mysql"),
    "mariadb": (greet(first=mysql(0, MYSQL_GREETING)), "mysql"),
    "memcached": (greet(replies=(b"VERSION 1.6\r\n",)), "memcached"),
    "amqp": (greet(replies=(AMQP_START,)), "amqp"),
    "grpc": (greet(first=GRPC["serving"][0]), "grpc"),
    "tcp": (greet(), "tcp"),
}


@pytest.mark.parametrize("scheme", TALKS)
def test_the_scheme_names_the_check(probe: Probe, scheme: str) -> None:
    handler, check = TALKS[scheme]
    with serving(handler) as server:
        url = f"{scheme}://{server.address}"
        environment = {"THE_URL": url, "PROBE_PORT": "tcp://10.0.0.1:80"}
        for words in (
            [url],
            [check, url],
            ["--url", url],
            [check, "--url-env", "THE_URL"],
            ["file", "/", "--and", url],
        ):
            done = probe(*words, env=environment)
            assert f"{check} {server.address}: " in done.stdout
            assert done.returncode == 0
        assert probe(env={"PROBE_URL": url}).returncode == 0
        assert probe("file", "/", "--and", check, env={"PROBE_2_URL": url}).returncode == 0


def test_a_unix_socket(probe: Probe, tmp_path: Path) -> None:
    with serving(greet(replies=(b"+PONG\r\n",)), path=tmp_path / "a b") as server:
        url = f"unix://{server.address.replace(' ', '%20')}"
        assert probe(url).returncode == 0
        assert probe("redis", url).returncode == 0


def test_postgres_in_the_directory_of_its_socket(probe: Probe, tmp_path: Path) -> None:
    with serving(TALKS["postgres"][0], path=tmp_path / ".s.PGSQL.77"):
        assert probe(f"postgres:///app?host={tmp_path}&port=77").returncode == 0
        assert probe("postgres", "-h", str(tmp_path), "-p", "77").returncode == 0


@pytest.mark.parametrize("form", [[], ["--verbose"], ["--json-output"]])
def test_user_password_and_database_are_used_and_not_shown(probe: Probe, form: list[str]) -> None:
    seen: list[bytes] = []
    replies = (b"+OK\r\n", b"+OK\r\n", b"-ERR p@ss%word is not p%40ss%25word\r\n")
    with serving(greet(replies=replies, seen=seen)) as server:
        done = probe(f"redis://us%2Fer:p%40ss%25word@{server.address}/3", *form)
    assert seen == [
        b"*3\r\n$4\r\nAUTH\r\n$5\r\nus/er\r\n$9\r\np@ss%word\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ]
    assert done.returncode == 1
    assert "word" not in done.stdout


def test_a_database_that_is_not_there(probe: Probe) -> None:
    with serving(greet(replies=(b"-ERR DB index is out of range\r\n",))) as server:
        done = probe(f"redis://{server.address}/99")
    assert "SELECT failed: -ERR DB index is out of range" in done.stdout
    with serving(greet(replies=(b"-NOAUTH x\r\n", b"-NOAUTH x\r\n"))) as server:
        assert "--password-env" in probe(f"redis://{server.address}/1").stdout


@pytest.mark.parametrize(
    ("scheme", "more", "talk"),
    [
        ("rediss", "", greet(replies=(b"+PONG\r\n",))),
        ("redis", "/?ssl=true", greet(replies=(b"+PONG\r\n",))),
        ("amqps", "/vhost", greet(replies=(AMQP_START,))),
    ],
)
def test_tls_comes_from_the_url(
    probe: Probe, interpreter: Interpreter, tmp_path: Path, scheme: str, more: str, talk: Handler
) -> None:
    authority = CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    context = context_of(authority.issue_cert(HOST))

    def handle(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                talk(secure)
        except ssl.SSLError:
            return

    with serving(handle) as server:
        url = f"{scheme}://{server.address}{more}"
        trusting = f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={file}"
        without = probe(url, "--server-name", HOST)
        done = probe(trusting, "--server-name", HOST)
        wrong = probe(trusting, "--server-name", "other.example")
    if not interpreter.has_tls:
        assert "has no TLS" in done.stdout
        return
    assert (without.returncode, done.returncode, wrong.returncode) == (1, 0, 1)
    assert "TLS with" in wrong.stdout
