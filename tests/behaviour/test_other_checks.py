"""tcp, unix, grpc, data stores, file and process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, drip, flood, free_port, greet, serving
from tests.integration.traces import wait_for


def test_tcp(probe: Probe) -> None:
    with serving(greet(first=b"SSH-2.0-x\r\n")) as server:
        assert probe("tcp", server.address).returncode == 0
        assert probe("tcp", server.address, "--expect", "SSH-2\\x2e0").returncode == 0
        assert probe("tcp", server.address, "--expect", "FTP", "--timeout", "300ms").returncode == 1
    with serving(greet(replies=(b"pong",))) as server:
        assert (
            probe("tcp", server.address, "--send", "ping\\r\\n", "--expect", "pong").returncode == 0
        )
    assert probe("tcp", f"localhost:{free_port()}").returncode == 1
    with serving(flood(b"", b"x" * 999)) as server:
        assert probe("tcp", server.address, "--send", "x", "--expect", "y").returncode == 1


def test_unix(probe: Probe, tmp_path: Path) -> None:
    with serving(greet(first=b"hi"), path=tmp_path / "s") as server:
        assert probe("unix", server.address, "--expect", "hi").returncode == 0
    assert probe("unix", str(tmp_path / "s")).returncode == 1
    assert "no such file" in probe("unix", str(tmp_path / "none")).stdout


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


SETTINGS = frame(4, 0, 0, b"\0\3\0\0\0\x64")
GRPC_TYPE = b"\x0f\x10\x10application/grpc"  # content-type, whose name is number 31
RESPONSE_HEADERS = frame(1, 4, 1, b"\x88" + GRPC_TYPE)  # :status 200
OK_TRAILERS = frame(1, 5, 1, b"\x40\x0bgrpc-status\x010")


def grpc_reply(status: int) -> bytes:
    message = bytes([8, status]) if status else b""
    data = frame(0, 0, 1, b"\0" + len(message).to_bytes(4, "big") + message)
    return frame(4, 1, 0, b"") + frame(6, 0, 0, b"12345678") + RESPONSE_HEADERS + data + OK_TRAILERS


GRPC: dict[str, tuple[bytes, int, str]] = {
    "serving": (SETTINGS + grpc_reply(1), 0, "SERVING"),
    "not serving": (SETTINGS + grpc_reply(2), 1, "NOT_SERVING"),
    "unknown": (SETTINGS + grpc_reply(0), 1, "UNKNOWN"),
    "no such service": (
        SETTINGS + frame(1, 5, 1, b"\x88\x40\x0bgrpc-status\x015\x00\x0cgrpc-message\x05a%20b"),
        1,
        "NOT_FOUND: a b",
    ),
    "proxy": (SETTINGS + frame(1, 5, 1, b"\x8c"), 1, "no gRPC status"),
    "padded and continued": (
        SETTINGS
        + frame(1, 8 | 32, 1, b"\x02\0\0\0\0\x10\x88\0\0")
        + frame(9, 4, 1, GRPC_TYPE)
        + frame(0, 8, 1, b"\x01\0\0\0\0\x02\x08\x01\0")
        + OK_TRAILERS,
        0,
        "SERVING",
    ),
    "reset": (SETTINGS + frame(3, 0, 1, b"\0\0\0\x07"), 1, "reset"),
    "goaway": (SETTINGS + frame(7, 0, 0, b"\0\0\0\0\0\0\0\x0benhance"), 1, "GOAWAY"),
    "http/1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, "HTTP/1.1"),
    "garbage": (b"\xff" * 99, 1, "not HTTP/2"),
    "huge frame": (SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1", 1, "frame of"),
    "bad hpack": (SETTINGS + frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff"), 1, "header block"),
    "pushed": (SETTINGS + frame(5, 4, 1, b"\0\0\0\2"), 1, "protocol error"),
}


@pytest.mark.parametrize("name", list(GRPC))
def test_grpc(probe: Probe, name: str) -> None:
    reply, code, text = GRPC[name]
    with serving(greet(replies=(reply,))) as server:
        done = probe("grpc", server.address, "--service", "shop", "--metadata", "x-a: b:c")
    assert done.returncode == code
    assert text in done.stdout


def test_grpc_floods(probe: Probe) -> None:
    for piece in (
        frame(6, 0, 0, b"12345678"),
        frame(4, 0, 0, b"") * 9,
        frame(1, 0, 1, b"\x88" * 9999),
    ):
        with serving(flood(SETTINGS, piece)) as server:
            assert probe("grpc", server.address, "--timeout", "700ms").returncode == 1


MYSQL_GREETING = (
    b"\x0a8.4.0\0\1\0\0\0saltsalt\0\xff\xff\x21\2\0\xff\xff\x15"
    + b"\0" * 10
    + b"moresaltmore\0plugin\0"
)


def mysql(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def pg(kind: bytes, payload: bytes) -> bytes:
    return kind + (len(payload) + 4).to_bytes(4, "big") + payload


AMQP_START = b"\x01\0\0\0\0\0\x08\0\x0a\0\x0a\0\x09\0\0\xce"
SERVERS: dict[str, tuple[str, Handler, tuple[str, ...], int, str]] = {
    "redis": ("redis", greet(replies=(b"+PONG\r\n",)), (), 0, "PONG"),
    "redis loading": (
        "redis",
        greet(replies=(b"-LOADING Redis is loading\r\n",)),
        (),
        1,
        "LOADING",
    ),
    "redis noauth": ("redis", greet(replies=(b"-NOAUTH required\r\n",)), (), 1, "--password-file"),
    "postgres trust": ("postgres", greet(replies=(pg(b"R", bytes(4)),)), (), 0, "accepts"),
    "postgres scram": (
        "postgres",
        greet(replies=(pg(b"R", b"\0\0\0\x0aSCRAM\0\0"),)),
        (),
        0,
        "accepts",
    ),
    "postgres starting": (
        "postgres",
        greet(replies=(pg(b"E", b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"),)),
        (),
        1,
        "starting up",
    ),
    "postgres full": (
        "postgres",
        greet(replies=(pg(b"E", b"C53300\0Mtoo many\0\0"),)),
        (),
        1,
        "too many",
    ),
    "postgres role": (
        "postgres",
        greet(replies=(pg(b"E", b"C28000\0Mno role\0\0"),)),
        (),
        0,
        "accepts",
    ),
    "postgres garbage": (
        "postgres",
        greet(replies=(b"HTTP/1.1 400\r\n",)),
        (),
        1,
        "PostgreSQL protocol",
    ),
    "mysql": ("mysql", greet(first=mysql(0, MYSQL_GREETING)), (), 0, "8.4.0"),
    "mysql full": (
        "mysql",
        greet(first=mysql(0, b"\xff\x10\x04#08004Too many connections")),
        (),
        1,
        "Too many connections (1040)",
    ),
    "mysql login": (
        "mysql",
        greet(first=mysql(0, MYSQL_GREETING), replies=(mysql(2, b"\0\0\0\2\0\0\0"),)),
        ("--user", "probe"),
        0,
        "ready",
    ),
    "mysql switch": (
        "mysql",
        greet(
            first=mysql(0, MYSQL_GREETING),
            replies=(
                mysql(2, b"\xfecaching_sha2_password\0x"),
                mysql(4, b"\xff\x15\x04#28000denied"),
            ),
        ),
        ("--user", "probe"),
        0,
        "access denied",
    ),
    **{
        f"mysql refuses the account, {code}": (
            "mysql",
            greet(
                first=mysql(0, MYSQL_GREETING),
                replies=(mysql(2, b"\xff" + code.to_bytes(2, "little") + b"#28000denied"),),
            ),
            ("--user", "probe"),
            0,
            "access denied",
        )
        for code in (1045, 1251, 1698, 1862, 3118, 3159, 3955, 4151)
    },
    **{
        f"mysql is not ready, {code}": (
            "mysql",
            greet(
                first=mysql(0, MYSQL_GREETING),
                replies=(mysql(2, b"\xff" + code.to_bytes(2, "little") + b"#08004no"),),
            ),
            ("--user", "probe"),
            1,
            f"no ({code})",
        )
        for code in (1040, 1053, 1129, 1203, 0)
    },
    "mysql garbage": ("mysql", greet(first=b"SSH-2.0-OpenSSH\r\n"), (), 1, "MySQL protocol"),
    "memcached": ("memcached", greet(replies=(b"VERSION 1.6.21\r\n",)), (), 0, "1.6.21"),
    "memcached full": (
        "memcached",
        greet(replies=(b"ERROR Too many open connections\r\n",)),
        (),
        1,
        "Too many",
    ),
    "amqp": ("amqp", greet(replies=(AMQP_START,)), (), 0, "ready"),
    "amqp version": ("amqp", greet(replies=(b"AMQP\0\1\0\0",)), (), 1, "another version"),
    "amqp garbage": (
        "amqp",
        greet(replies=(b"HTTP/1.1 400\r\n\r\n",)),
        (),
        1,
        "does not speak AMQP",
    ),
}


@pytest.mark.parametrize("name", list(SERVERS))
def test_servers(probe: Probe, name: str) -> None:
    check, handler, options, code, text = SERVERS[name]
    with serving(handler) as server:
        done = probe(check, server.address, *options)
    assert done.returncode == code
    assert text in done.stdout


@pytest.mark.parametrize("check", ["redis", "postgres", "mysql", "memcached", "amqp", "grpc"])
def test_hostile_servers(probe: Probe, check: str) -> None:
    for handler in (
        drip(b"", 0),
        flood(b"", b"\xff" * 4096),
        flood(b"", b"+" * 4096),
        drip(b"\0" * 999, 0.1),
    ):
        with serving(handler) as server:
            done = probe(check, server.address, "--timeout", "400ms", cpu=1.5)
        assert done.returncode == 1
        assert "internal error" not in done.stdout


def test_redis_password(probe: Probe, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2-hunter2\n")
    seen: list[bytes] = []
    with serving(greet(replies=(b"+OK\r\n", b"+PONG\r\n"), seen=seen)) as server:
        assert probe("redis", server.address, "--password-file", str(secret)).returncode == 0
    assert seen[0] == b"*2\r\n$4\r\nAUTH\r\n$15\r\nhunter2-hunter2\r\n"
    with serving(greet(replies=(b"-ERR hunter2-hunter2 is wrong\r\n",))) as server:
        done = probe("redis", server.address, "--password-file", str(secret))
    assert "hunter2" not in done.stdout
    assert "AUTH failed: -ERR *** is wrong" in done.stdout


def test_a_file_of_the_future_is_not_young(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "ready"
    path.touch()
    assert probe("file", str(path), "--max-age", "60s").returncode == 0
    for ahead in (30, 86400 * 365):
        os.utime(path, (time.time() + ahead,) * 2)
        done = probe("file", str(path), "--max-age", "60s")
        assert (done.returncode, "in the future" in done.stdout) == (1, True)
        assert probe("file", str(path)).returncode == 0


def test_file(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "ready"
    assert probe("file", str(path)).returncode == 1
    path.write_text("all ok")
    (tmp_path / "link").symlink_to(path)
    assert (
        probe("file", str(tmp_path / "link"), "--max-age", "60s", "--contains", "ok").returncode
        == 0
    )
    assert probe("file", str(path), "--contains", "bad").returncode == 1
    os.utime(path, (0, 0))
    assert probe("file", str(path), "--max-age", "60s").returncode == 1
    os.mkfifo(tmp_path / "fifo")
    assert probe("file", str(tmp_path / "fifo"), "--contains", "x").returncode == 1


def test_process(probe: Probe, tmp_path: Path) -> None:
    program = tmp_path / "probe-test-app"
    program.symlink_to("/bin/sleep")
    pid_file = tmp_path / "pid"
    assert probe("process", program.name).returncode == 1
    with subprocess.Popen([program, "30"]) as child:
        pid_file.write_text(f"{child.pid}\n")
        # Popen returns once exec has closed its pipe, and the kernel names the process after that.
        proc = Path(f"/proc/{child.pid}")
        wait_for(
            lambda: (proc / "comm").read_text().strip() == program.name, seconds=20, what="its name"
        )
        assert probe("process", program.name).returncode == 0
        assert probe("process", "--pid-file", str(pid_file)).returncode == 0
        child.kill()
        wait_for(lambda: (proc / "stat").read_text().split()[2] == "Z", seconds=20, what="its end")
        assert "zombie" in probe("process", "--pid-file", str(pid_file)).stdout
    assert probe("process", "--pid-file", str(pid_file)).returncode == 1
    assert probe("process", Path(sys.executable).name + "-none").returncode == 1
