"""docs/migrate.md: each line of the probe's is run, against a server that is well and one that is not there."""

from __future__ import annotations

import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, Server, answer, free_port, greet, http_reply, serving
from tests.behaviour.test_other_checks import GRPC, MYSQL_GREETING, mysql, pg
from tests.integration.certificates import HOST, context_of
from tests.interpreters import Interpreter

PAGE = (Path(__file__).parents[2] / "docs" / "migrate.md").read_text("utf-8")
TOOLS = {
    *("curl", "test", "wget", "pg_isready", "mysqladmin", "redis-cli", "grpc_health_probe"),
    *("httpcheck", "portcheck", "parallel", "lprobe", "docker-health-check"),
}
"""What the lines of other tools begin with."""

BODY = http_reply(body=b'{"status": "ok", "nodes": [1, 2]}')
HOST_AND_PORT = re.compile(r"\b(8080|8443|50051|5432|3306|6379)\b")
DIRECTORIES = {"/var/run/postgresql": ".s.PGSQL.5432", "/run/mysqld/mysqld.sock": ""}
"""What is a Unix socket, or the place of one."""


def lines() -> list[str]:
    """The probe's, each under one of another tool."""
    found = []
    for block in re.findall(r"(?ms)^```diff\n(.*?)^```$", PAGE):
        rows = block.splitlines()
        assert len(rows) % 2 == 0
        for before, after in zip(rows[::2], rows[1::2], strict=True):
            assert before[0] == "-"
            assert before[1:].split()[0] in TOOLS
            assert after.startswith("+probe ")
            found.append(after[len("+probe ") :])
    return found


def redis(connection: socket.socket) -> None:
    """A reply for each command."""
    while command := connection.recv(65536):
        connection.sendall(b"+PONG\r\n" if b"PING" in command else b"+OK\r\n")


def https(connection: socket.socket) -> None:
    context = context_of(CA().issue_cert(HOST))
    try:
        with context.wrap_socket(connection, server_side=True) as secure:
            answer(BODY)(secure)
    except ssl.SSLError:
        return


HANDLERS: dict[str, Handler] = {
    "http": answer(BODY),
    "https": https,
    "tcp": answer(BODY),
    "postgres": greet(replies=(pg(b"R", bytes(4)),)),
    "mysql": greet(first=mysql(0, MYSQL_GREETING), replies=(mysql(2, b"\0\0\0\2\0\0\0"),)),
    "redis": redis,
    "grpc": greet(replies=(GRPC["serving"][0],)),
}


def check_of(words: list[str]) -> str:
    name = words[0] if words[0] in HANDLERS else "http"
    return "https" if any("https://" in word for word in words) else name


@contextmanager
def healthy(words: list[str], scratch: Path) -> Iterator[tuple[list[str], Server]]:
    """The line with a server of ours in the place of its own."""
    handler = HANDLERS[check_of(words)]
    if not set(DIRECTORIES) & set(words):
        with serving(handler) as server:
            yield moved(words, server.port), server
        return
    (place,) = set(DIRECTORIES) & set(words)
    own = scratch / "own"
    if DIRECTORIES[place]:
        own.mkdir()
    with serving(handler, path=own / DIRECTORIES[place]) as server:
        yield [str(own) if word == place else word for word in words], server


def moved(words: list[str], port: int) -> list[str]:
    return [HOST_AND_PORT.sub(str(port), word).replace("localhost", HOST) for word in words]


def environment(port: int) -> dict[str, str]:
    return {
        "APP_PORT": str(port),
        "REDISCLI_AUTH": "secret",
        "DATABASE_URL": f"postgres://app@{HOST}:{port}/shop",
    }


def test_every_tool_has_its_lines() -> None:
    assert len(lines()) >= 2 * 8
    titles = set(re.findall(r"(?m)^## (.*)$", PAGE))
    assert titles == {
        *("curl", "wget", "pg_isready", "mysqladmin", "redis-cli", "grpc_health_probe"),
        *("microcheck", "lprobe", "docker-health-check"),
    }


@pytest.mark.parametrize("line", lines())
def test_each_line_runs(probe: Probe, interpreter: Interpreter, tmp_path: Path, line: str) -> None:
    words = shlex.split(line)
    with healthy(words, tmp_path) as (own, server):
        done = probe(*own, env=environment(server.port))
    if check_of(words) == "https" and not interpreter.has_tls:
        assert "has no TLS" in done.stdout
        return
    assert done.stdout.startswith("healthy: ")
    assert done.returncode == 0
    port = free_port()
    nobody = [word.replace(str(tmp_path), str(tmp_path / "no")) for word in own]
    if nobody == own:
        nobody = moved(words, port)
    gone = probe(*nobody, env=environment(port))
    assert gone.returncode == 1
    assert "refused" in gone.stdout or "no such file" in gone.stdout
