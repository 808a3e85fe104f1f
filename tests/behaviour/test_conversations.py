"""What tcp and unix say and hear, and in which order."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, drip, flood, greet, serving

GREETING = b"220-mail.example 250 mailboxes\r\n220 ready\r\n"
SOON = ("--timeout", "400ms")


def strict(greeting: bytes, pieces: int, seen: list[bytes], answer: bytes) -> Handler:
    """A server that takes what is said before the end of its greeting for an attack, as mail servers do."""

    def handle(connection: socket.socket) -> None:
        connection.settimeout(0.05)
        size = -(-len(greeting) // pieces)
        for start in range(0, len(greeting), size):
            try:
                early = connection.recv(1)
            except TimeoutError:
                early = b""
            if early:
                seen.append(b"too early")
                return
            connection.sendall(greeting[start : start + size])
        connection.settimeout(10)
        seen.append(connection.recv(65536))
        connection.sendall(answer)
        while connection.recv(65536):
            pass

    return handle


@given(st.integers(1, 4), st.permutations(["--await", "--send", "--expect"]))
@settings(
    deadline=None,
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_it_waits_before_it_sends(probe: Probe, pieces: int, order: list[str]) -> None:
    """Wherever the greeting is cut, and however the options are ordered."""
    values = {"--await": "220 ready\\r\\n", "--send": "NOOP\\r\\n", "--expect": "250 "}
    words = [word for name in order for word in (name, values[name])]
    seen: list[bytes] = []
    with serving(strict(GREETING, pieces, seen, b"250 OK\r\n")) as server:
        done = probe("tcp", server.address, *words)
    assert (done.returncode, seen) == (0, [b"NOOP\r\n"])
    assert ": connected, got '250 ' in " in done.stdout


def test_what_came_before_is_no_answer(probe: Probe) -> None:
    for text in ("250 ", "mailboxes", "ready"):
        with serving(greet(first=GREETING, replies=(b"500 what?\r\n",))) as server:
            words = ("--await", "ready\\r\\n", "--send", "NOOP\\r\\n", "--expect", text, *SOON)
            done = probe("tcp", server.address, *words)
        assert (done.returncode, "timeout while waiting" in done.stdout) == (1, True)


def test_nothing_is_sent_before_the_text_has_come(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(greet(first=b"421 too busy\r\n", replies=(b"250 OK\r\n",), seen=seen)) as server:
        words = ("--await", "220 ", "--send", "NOOP\\r\\n", "--expect", "250 ", *SOON)
        assert probe("tcp", server.address, *words).returncode == 1
    assert seen in ([], [b""])


def test_await_alone_and_before_expect(probe: Probe, tmp_path: Path) -> None:
    with serving(greet(first=b"one two"), path=tmp_path / "s") as server:
        at = ("unix", server.address)
        assert ": connected, got 'one' in " in probe(*at, "--await", "one").stdout
        assert probe(*at, "--await", "one", "--expect", "two").returncode == 0
        assert probe(*at, "--await", "two", "--expect", "one", *SOON).returncode == 1


@pytest.mark.parametrize(
    ("texts", "code"),
    [(["a", "b"], 0), (["b", "a"], 0), (["a", "a"], 0), (["a", "c"], 1), (["c", "a"], 1)],
)
def test_all_that_is_expected_must_come(probe: Probe, texts: list[str], code: int) -> None:
    words = [word for text in texts for word in ("--expect", text)]
    with serving(greet(first=b"a, b")) as server:
        assert probe("tcp", server.address, *words, *SOON).returncode == code


@pytest.mark.parametrize(
    "handler",
    [flood(b"", b"x" * 999), drip(b"x" * 999, 0.1), drip(b"", 0)],
    ids=["flood", "drip", "closed"],
)
def test_it_is_bounded(probe: Probe, handler: Handler) -> None:
    def after_a_byte(connection: socket.socket) -> None:
        connection.sendall(b"!")
        handler(connection)

    for words in (("--await", "y"), ("--await", "!", "--send", "?", "--expect", "y")):
        with serving(after_a_byte) as server:
            done = probe("tcp", server.address, *words, "--timeout", "700ms", cpu=3)
        assert (done.returncode, "internal error" in done.stdout) == (1, False)


def test_bad_escapes_are_named(probe: Probe) -> None:
    for name in ("await", "send", "expect"):
        assert f"--{name}: knows the escapes" in probe("tcp", ":1", f"--{name}", "\\q").stdout
