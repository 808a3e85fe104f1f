"""The flags of grpc_health_probe, and what else a call says: authority, metadata, time."""

from __future__ import annotations

import socket
import time

import pytest

from probe.command import parse_command
from probe.errors import Usage
from tests.behaviour.conftest import Probe
from tests.behaviour.servers import greet, serving
from tests.behaviour.test_other_checks import GRPC

SERVING = GRPC["serving"][0]


def test_its_flags_mean_the_same(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(greet(replies=(SERVING,), seen=seen)) as server:
        done = probe(
            *("grpc", f"-addr={server.address}", "-service=shop.Cart", "-connect-timeout=9s"),
            *("-rpc-timeout", "9s", "-rpc-header=x-one: 1:2", "-rpc-header", "X-Two:3"),
            *("-user-agent=me", "-tls=false", "-v"),
        )
    assert done.returncode == 0
    assert all(text in seen[0] for text in (b"x-one", b"1:2", b"x-two", b"shop.Cart", b"\x02me"))


def test_tls_flags() -> None:
    words = "grpc -addr h:1 -tls -tls-ca-cert /a -tls-client-cert /b -tls-client-key /c"
    [options] = parse_command(f"{words} -tls-server-name n".encode().split(), {})
    given = {name: options.data(name) for name in ("ca-file", "cert", "key", "server-name")}
    assert given == {"ca-file": b"/a", "cert": b"/b", "key": b"/c", "server-name": b"n"}
    [options] = parse_command(b"grpc -addr h:1 -tls -tls-no-verify".split(), {})
    assert options.flag("insecure")
    for flag in ("-tls-ca-cert=/a", "-tls-client-cert=/b", "-tls-server-name=n", "-tls-no-verify"):
        [options] = parse_command(f"grpc -addr h:1 {flag}".encode().split(), {})
        with pytest.raises(Usage, match="no effect without TLS"):
            options.check.prepare(options)
    with pytest.raises(Usage, match="exclude each other"):
        parse_command(b"grpc -addr h:1 -tls -tls-no-verify -tls-ca-cert /a".split(), {})


def test_authority_and_metadata(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(greet(replies=(SERVING,), seen=seen)) as server:
        words = ("--authority", "shop.example:443", "--header", "x-tenant: a")
        assert probe("grpc", server.address, *words).returncode == 0
        assert probe("grpc", server.address).returncode == 0
    assert b"shop.example:443" in seen[0]
    assert server.address.encode() not in seen[0]
    assert b"x-tenant" in seen[0]
    assert server.address.encode() in seen[1]
    assert "not a host name" in probe("grpc", "h:1", "--authority", "a/b").stdout


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        ("", 3),
        ("-connect-timeout=250ms", 1.25),
        ("-rpc-timeout=100ms", 1.1),
        ("-connect-timeout=9s -rpc-timeout=1m30s", 99),
        ("-connect-timeout=9s -rpc-timeout=9s --timeout=5s", 5),
        ("-connect-timeout=250ms --and tcp h:1", 3),
        ("-connect-timeout=20s --and tcp h:1", 21),
        ("--and grpc h:2 -rpc-timeout=5s", 6),
    ],
)
def test_the_deadline_is_their_sum_unless_it_is_given(flags: str, seconds: float) -> None:
    for options in parse_command(f"grpc h:1 {flags}".encode().split(), {}):
        assert options.seconds("timeout") == pytest.approx(seconds)
    [options] = parse_command(b"grpc h:1 -rpc-timeout=9s".split(), {b"PROBE_TIMEOUT": b"4s"})
    assert options.seconds("timeout") == 4


def test_no_time_at_all_is_refused(probe: Probe) -> None:
    said = probe("grpc", "h:1", "-rpc-timeout=0s").stdout
    assert said == "unhealthy: bad usage: -rpc-timeout: it must be more than 0\n"


@pytest.mark.parametrize("part", ["connect", "rpc"])
def test_each_part_has_its_own_time(probe: Probe, part: str) -> None:
    """The socket of a backlog that is full is never connected."""
    limits = {"connect": ("300ms", "50s"), "rpc": ("50s", "300ms")}[part]
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(4 if part == "connect" else 0)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        started = time.monotonic()
        done = probe(
            *("grpc", f"127.0.0.1:{port}", "-connect-timeout", limits[0]),
            *("-rpc-timeout", limits[1], "--timeout=60s"),
            timeout=40,
        )
        assert time.monotonic() - started < 20
        for filler in fillers:
            filler.close()
    phase = "connecting to" if part == "connect" else "waiting for the answer of"
    assert done.stdout.startswith(
        f"unhealthy: grpc 127.0.0.1:{port}: timeout while {phase} 127.0.0.1:{port}"
    )


def test_a_retry_has_its_time_again(probe: Probe) -> None:
    calls: list[int] = []

    def handle(connection: socket.socket) -> None:
        calls.append(1)
        connection.recv(65536)
        if len(calls) < 3:
            connection.recv(1)
        else:
            connection.sendall(SERVING)
            connection.recv(65536)

    with serving(handle) as server:
        words = ("--retries=5", "--interval=10ms", "--timeout=19s", "-rpc-timeout=700ms")
        done = probe("grpc", server.address, *words)
    assert "SERVING (attempt 3)" in done.stdout
