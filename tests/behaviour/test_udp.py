"""The udp check: only an answer counts, from where it was asked, within the time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import free_port

Reply = Callable[[bytes], Iterable[bytes]]
SOON = ("--timeout", "400ms")


@contextmanager
def datagrams(reply: Reply, host: str = "127.0.0.1") -> Iterator[str]:
    """Answer each datagram by none, one or more."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    asked, peer = server.recvfrom(65535)
                    if not asked:  # shut down
                        return
                    for data in reply(asked):
                        with suppress(ConnectionError):
                            server.sendto(data, peer)

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("replies", "words", "code", "text"),
    [
        ([b"pong"], (), 0, "answered by 127.0.0.1:"),
        ([b""], (), 0, ", 0 bytes in "),
        ([b"x" * 9000], (), 0, ", 9000 bytes in "),
        ([b"pong"], ("--expect", "on"), 0, ", 4 bytes in "),
        ([b"a\0b\xff"], ("--expect", "\\0b\\xff"), 0, ", 4 bytes in "),
        ([b"late", b"pong"], ("--expect", "pong"), 0, ", 4 bytes in "),
        ([b"a b"], ("--expect", "b", "--expect", "a"), 0, ", 3 bytes in "),
        ([b"a", b"b"], ("--expect", "b", "--expect", "a"), 1, "which sent 'b'"),
        ([b"ping"], ("--expect", "pong"), 1, "timeout while waiting for the expected text from "),
        ([b""], ("--expect", "pong"), 1, "which sent ''"),
        ([], (), 1, "timeout while waiting for an answer of 127.0.0.1:"),
    ],
)
def test_answers(
    probe: Probe, replies: list[bytes], words: tuple[str, ...], code: int, text: str
) -> None:
    with datagrams(lambda _: replies) as at:
        done = probe("udp", at, "--send", "ping", *words, *SOON)
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout


def test_what_is_sent(probe: Probe) -> None:
    with datagrams(lambda asked: [asked]) as at:
        words = ("udp", at, "--send", "\\0\\xff\\r\\nx", *SOON)
        assert probe(*words, "--expect", "\\0\\xff\\r\\nx").returncode == 0


def test_ipv6_and_both(probe: Probe) -> None:
    with datagrams(lambda asked: [asked], "::1") as at:
        port = at.rpartition(":")[2]
        assert probe("udp", at, "--send", "x").returncode == 0
        done = probe("udp", f"localhost:{port}", "--send", "x")
        assert (done.returncode, f"answered by [::1]:{port}" in done.stdout) == (0, True)
        assert probe("udp", f"localhost:{port}", "-4", "--send", "x").returncode == 1
        assert probe("udp", "localhost", "--port", port, "--send", "x").returncode == 0
        assert probe(f"udp://{at}", "--send", "x").returncode == 0


def test_nobody_there_is_said_at_once(probe: Probe) -> None:
    """By ICMP, long before the time is over."""
    port = free_port()
    done = probe("udp", f"localhost:{port}", "--send", "x", "--timeout", "19s")
    expected = f"refused by 127.0.0.1:{port} and [::1]:{port}"
    assert (done.returncode, expected in done.stdout) == (1, True), done.stdout


def test_a_lost_datagram_is_sent_again(probe: Probe) -> None:
    lost = [True]
    with datagrams(lambda asked: [] if lost and lost.pop() else [asked]) as at:
        assert probe("udp", at, "--send", "x", "--timeout", "15s").returncode == 0


def test_an_answer_from_elsewhere_does_not_count(probe: Probe) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        server.bind(("127.0.0.1", 0))
        stranger.bind(("127.0.0.2", 0))

        def serve() -> None:
            with suppress(OSError):
                _, peer = server.recvfrom(99)
                stranger.sendto(b"pong", peer)

        threading.Thread(target=serve, daemon=True).start()
        at = f"127.0.0.1:{server.getsockname()[1]}"
        assert probe("udp", at, "--send", "ping", *SOON).returncode == 1


def test_a_flood_of_wrong_answers_is_bounded(probe: Probe) -> None:
    def flood(_: bytes) -> Iterator[bytes]:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            yield b"x" * 9000

    with datagrams(flood) as at:
        done = probe("udp", at, "--send", "x", "--expect", "y", "--timeout", "700ms", cpu=3)
    assert (done.returncode, "internal error" in done.stdout) == (1, False)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((":1",), "udp needs --send"),
        ((":1", "--expect", "x"), "udp needs --send"),
        ((":1", "--send", ""), "the value is empty"),
        ((":1", "--send", "x" * 65508), "more than the 65507 bytes"),
        (("a", "--send", "x"), "has no port"),
        (("--send", "x"), "udp needs HOST:PORT"),
        ((":1", "--send", "x", "--tls"), "not of udp"),
        (("tcp://h:1", "--send", "x"), "takes URLs that begin with udp://"),
        (("unix:///s", "--send", "x"), "takes URLs that begin with udp://"),
    ],
)
def test_it_is_never_healthy_by_accident(probe: Probe, words: tuple[str, ...], text: str) -> None:
    done = probe("udp", *words)
    assert (done.returncode, text in done.stdout) == (1, True), done.stdout
