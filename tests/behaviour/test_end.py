"""How a frozen probe ends when it is not its checks that end it: always with a line and exit code 1."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import read_request, serving
from tests.behaviour.test_http import HEAD
from tests.interpreters import ROOT, Interpreter, interpreters

BODY = 1_900_000
MOST_CHECKS = 16
BOUNDED = {Interpreter.MINI, Interpreter.FULL}
"""Those whose memory is bounded by themselves."""


@pytest.fixture(params=[one for one in interpreters() if one.is_one_file])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    return Interpreter(request.param)


def interrupted(command: list[str], number: signal.Signals, *, timeout: str) -> tuple[int, bytes]:
    """Send a signal to a probe that waits for its server; return how it ended."""
    asked = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        asked.set()
        connection.recv(1)

    with (
        serving(handle) as server,
        subprocess.Popen(
            [*command, "http", f"http://{server.address}/", "--timeout", timeout],
            cwd=ROOT,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        assert asked.wait(20)
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
        return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(command: list[str], number: signal.Signals) -> None:
    assert interrupted(command, number, timeout="20s") == (1, b"unhealthy: interrupted\n")


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_that_was_ignored_stays_so(command: list[str], name: str) -> None:
    ignoring = ["/bin/sh", "-c", f'trap "" {name}; exec "$@"', "sh", *command]
    code, output = interrupted(ignoring, signal.Signals[f"SIG{name}"], timeout="1s")
    assert code == 1
    assert b"timeout while" in output


def test_a_signal_when_output_is_closed(command: list[str]) -> None:
    closed = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command]
    assert interrupted(closed, signal.SIGTERM, timeout="20s") == (1, b"")


def test_memory_that_runs_out(probe: Probe, interpreter: Interpreter) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (BODY + 1) + b"y" * BODY)
        connection.recv(1)

    with serving(handle) as server:
        one = ["http", f"http://{server.address}/", "--contains", "x", "--max-body", "2M"]
        words = [*one, *["--and", *one] * (MOST_CHECKS - 1)]
        done = probe(*words, "--timeout", "3s")
    assert done.returncode == 1
    assert done.stdout.startswith(f"unhealthy: 0 of {MOST_CHECKS} passed: ")
    assert done.stdout.count("\n") == 1
    if interpreter is not Interpreter.GIVEN:
        assert ("there is too little memory" in done.stdout) == (interpreter in BOUNDED)
    assert "internal error" not in done.stdout
