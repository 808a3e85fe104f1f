"""The check of dns against name servers of the test's own: right, wrong, forged, cut, slow, endless."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.behaviour.conftest import Probe
from tests.unit.probe.test_dns import (
    AAAA,
    CNAME,
    A,
    Response,
    both,
    name_server,
    question_of,
    record,
    reply,
)

SOON = ("--timeout", "400ms")


@contextmanager
def server(answer: Response, tcp: Response | None = None) -> Iterator[tuple[str, ...]]:
    with name_server(answer, tcp) as port:
        yield ("dns", "app.example", "--server", f"127.0.0.1:{port}")


def late_v6(query: bytes) -> bytes:
    """A server that takes its time for AAAA, more than is waited for it when any address will do."""
    if question_of(query)[1] == AAAA:
        threading.Event().wait(0.3)
    return both(query)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 0, ": resolves to 10.0.0.1, 10.0.0.2, ::1 in "),
        (("--type", "A"), 0, ": resolves to 10.0.0.1, 10.0.0.2 in "),
        (("--type", "aaaa"), 0, ": resolves to ::1 in "),
        (("--expect", "10.0.0.2"), 0, ": resolves to 10.0.0.1, 10.0.0.2 in "),
        (("--expect", "0:0::0001"), 0, ": resolves to ::1 in "),
        (("--expect", "10.0.0.1", "--expect", "::1"), 0, ", ::1 in "),
        (("--expect", "10.0.0.9"), 1, ": resolves to 10.0.0.1, 10.0.0.2, not to 10.0.0.9, "),
        (("--expect", "10.0.0.1", "--expect", "::2"), 1, ", not to ::2, "),
    ],
)
def test_answers(probe: Probe, words: tuple[str, ...], code: int, text: str) -> None:
    with server(both) as at:
        done = probe(*at, *words)
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout


def test_what_is_expected_is_waited_for(probe: Probe) -> None:
    with server(late_v6) as at:
        assert probe(*at, "--expect", "10.0.0.1", "--expect", "::1").returncode == 0


def test_all_of_many_addresses_count(probe: Probe) -> None:
    def many(query: bytes) -> bytes:
        return reply(query, *(record(A, bytes([10, 0, 0, last])) for last in range(100)))

    with server(lambda query: reply(query, flags=0x82), tcp=many) as at:
        assert probe(*at, "--expect", "10.0.0.99").returncode == 0
        assert probe(*at, "--expect", "10.0.0.100").returncode == 1


def other_id(query: bytes) -> bytes:
    return bytes([query[0] ^ 1]) + both(query)[1:]


def other_question(query: bytes) -> bytes:
    return query[:2] + both(query.replace(b"\3app", b"\3bpp"))[2:]


def other_owner(query: bytes) -> bytes:
    return reply(query, record(A, b"\x0a\0\0\1", owner=b"\5other\0"))


def loop(query: bytes) -> bytes:
    return reply(query, record(CNAME, b"\xc0\x0c"))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda query: reply(query, code=3), "no such name"),
        (lambda query: reply(query, code=2), "server failure"),
        (reply, "no address"),
        (other_owner, "no address"),
        (loop, "no address"),
        (other_id, "timeout while asking 127.0.0.1 for app.example"),
        (other_question, "timeout"),
        (lambda _: None, "timeout"),
        (lambda _: b"", "timeout"),
        (lambda query: query, "timeout"),
        (lambda query: both(query)[:-20], "no address"),
        (lambda query: reply(query, flags=0x82), "timeout"),  # and nobody answers by TCP
    ],
)
def test_no_answer(probe: Probe, answer: Response, text: str) -> None:
    with server(answer) as at:
        done = probe(*at, "--type", "A", *SOON)
    assert (done.returncode, text in done.stdout) == (1, True), done.stdout


def test_floods_are_bounded(probe: Probe) -> None:
    """Datagrams without end, and a reply by TCP that is full of pointers."""
    pointers = record(A, b"\x0a\0\0\1", owner=b"\xc0\x0c" * 2) * 4000
    for answer, tcp in (
        (lambda query: reply(query, flags=0x82), lambda query: reply(query) + pointers[:60000]),
        (lambda query: reply(query, flags=0x82), lambda query: query[:2] + b"\xff" * 60000),
    ):
        with server(answer, tcp) as at:
            done = probe(*at, *SOON, cpu=3)
        assert (done.returncode, "internal error" in done.stdout) == (1, False), done.stdout

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endless:
        endless.bind(("127.0.0.1", 0))
        stop = threading.Event()

        def serve() -> None:
            query, peer = endless.recvfrom(4096)
            while not stop.is_set():
                with suppress(OSError):
                    endless.sendto(query[:2] + b"\xff" * 999, peer)

        threading.Thread(target=serve, daemon=True).start()
        where = f"127.0.0.1:{endless.getsockname()[1]}"
        done = probe("dns", "app.example", "--server", where, "--timeout", "700ms", cpu=3)
        stop.set()
    assert (done.returncode, "timeout" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "dns needs a name"),
        (("10.0.0.1",), "is an address"),
        (("::1",), "is not a host name"),
        (("a", "--type", "MX"), "--type is A or AAAA"),
        (("a", "--expect", "b"), "not 'b'"),
        (("a", "--expect", "::1", "--type", "A"), "of another type"),
        (("a", "--server", "a b"), "is not a host name"),
        (("a", "--status", "200"), "not of dns"),
    ],
)
def test_bad_usage(probe: Probe, words: tuple[str, ...], text: str) -> None:
    done = probe("dns", *words)
    assert (done.returncode, text in done.stdout) == (1, True), done.stdout
