"""Nothing waits for the other side's receipt of what was sent: it may be delayed by 40 ms."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.behaviour.servers import serving
from tests.built import Built
from tests.interpreters import ROOT, Interpreter, command_of

PIDFD_GETFD = 438
"""https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html"""


def sockets_of(pid: int) -> list[socket.socket]:
    """Copies of every TCP socket that another process has."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    process = os.pidfd_open(pid)
    try:
        found = []
        for place in Path(f"/proc/{pid}/fd").iterdir():
            if not str(place.readlink()).startswith("socket:"):
                continue
            descriptor = syscall(PIDFD_GETFD, process, int(place.name), 0)
            if descriptor < 0 and ctypes.get_errno() in {errno.EPERM, errno.ENOSYS}:
                pytest.skip("this process may not look into another")
            found.append(socket.socket(fileno=descriptor))
        return found
    finally:
        os.close(process)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("check", ["tcp", "http", "redis", "postgres", "amqp", "smtp", "grpc"])
def test_every_connection_sends_at_once(command: list[str], check: str, host: str) -> None:
    """As the kernel says of the socket of a probe that waits for an answer."""
    arrived, looked = threading.Event(), threading.Event()

    def wait(_: socket.socket) -> None:
        arrived.set()
        looked.wait(10)

    with serving(wait, host=host) as server:
        expects = ("--expect", "x") if check == "tcp" else ()
        target = f"http://{server.address}/" if check == "http" else server.address
        words = [*command, check, target, "--timeout", "10s", *expects]
        with subprocess.Popen(words, cwd=ROOT, env={}, stdout=subprocess.DEVNULL) as process:
            try:
                assert arrived.wait(10)
                sockets = sockets_of(process.pid)
                told = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets]
                for one in sockets:
                    one.close()
            finally:
                looked.set()
                process.kill()
    assert told == [1]


@pytest.mark.builds
def test_what_is_compiled_does_not_check_itself(frozen: Built) -> None:
    """Nuitka's runtime looks into every constant at the start, unless it is told not to: a fifth of the CPU time."""
    (program,) = command_of(Interpreter.NUITKA, frozen)
    assert b"DEEP_HASH" not in Path(program).read_bytes()
