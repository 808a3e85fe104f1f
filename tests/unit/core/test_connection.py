"""No server can keep us waiting, wherever in an exchange it tries to, and a cancelled run waits for none."""

import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.sources.cache import Cache
from builders.sources.fetch import Unavailable, fetch
from builders.sources.mirrors import Mirrors
from core.cancel import Cancelled, CancelToken
from core.connection import _resolve
from core.exchange import LARGEST_WRAPPING, Exchange
from core.http import HttpClient
from core.retry import ClientOptions, Fault, HttpError, RetryPolicy
from tests.raw_server import raw_server, read_head, say
from tests.unit.sources.servers import DATA, file, loopback_session, serving, source_of

LENGTH = b"Content-Length: %d\r\n" % len(DATA)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STAGES = {
    "handshake": (b"", b"\x16\x03\x03\x40\x00" + b"\0" * 11),
    "status": (b"", b"HTTP/1.1"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"1;", b"x"),
    "chunks": (CHUNKED, b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n", b"\0"),
    "trailer": (CHUNKED + b"%x\r\n%s\r\n0\r\n" % (len(DATA) - 1, DATA[1:]), b"X: y\r\n"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 99999999\r\n", b"X"),
}
MANNERS = ["drip", "flood", "silence", "close"]
POLICY = RetryPolicy(tries=1, connect=0.6, read=0.6, grace=0.8, min_rate=1024.0, redirects=1)


def quick(policy: RetryPolicy = POLICY, cancel: CancelToken | None = None) -> ClientOptions:
    return ClientOptions(
        policy=policy,
        session=loopback_session,
        sleep=lambda _: None,
        cancel=CancelToken() if cancel is None else cancel,
    )


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("stage", STAGES)
def test_wherever_a_mirror_dawdles_the_next_one_is_asked(
    tmp_path: Path, stage: str, manner: str
) -> None:
    begin, again = STAGES[stage]

    def talk(connection: socket.socket, over: threading.Event) -> None:
        if stage != "handshake":
            read_head(connection)
        connection.sendall(begin)
        say(connection, over, manner, again)

    scheme = "https" if stage == "handshake" else "http"
    with raw_server(talk) as port, serving(file()) as good:
        source = source_of(DATA, f"{scheme}://127.0.0.1:{port}/curl-8.21.0.tar.gz", good.url)
        began = time.monotonic()
        found = fetch(source, Cache(tmp_path), Mirrors(), options=quick())
        assert time.monotonic() - began < 60  # else for ever
    assert found.path.read_bytes() == DATA
    assert found.url == good.url


@pytest.mark.parametrize("manner", MANNERS)
def test_a_proxy_that_dawdles_is_no_use_either(
    monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        read_head(connection)
        say(connection, over, manner, b"HTTP/1.1 200 OK\r\nX: y\r\n")

    with raw_server(talk) as port:

        def session() -> object:
            made = loopback_session()
            made.proxies = {"https": f"http://127.0.0.1:{port}"}
            return made

        options = ClientOptions(policy=POLICY, session=session)  # type: ignore[arg-type]
        with HttpClient(options, name="x") as client, pytest.raises(HttpError):
            client.request("GET", "https://a.invalid/")


@pytest.mark.parametrize("slow", [False, True])
def test_a_server_that_does_not_read_is_left(slow: bool) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while not over.wait(0.1):
            if slow:
                connection.recv(1)

    policy = RetryPolicy(tries=1, connect=0.6, read=0.6, grace=0.8, min_rate=float(1 << 30))
    with (
        raw_server(talk) as port,
        HttpClient(quick(policy), name="x") as client,
        pytest.raises(
            HttpError, match=r"stopped answering|takes bytes too slowly|connection failed"
        ),
    ):
        client.request("PUT", f"http://127.0.0.1:{port}/", body=b"x" * (64 << 20))


@pytest.mark.parametrize("stage", STAGES)
def test_a_cancelled_run_waits_for_no_server(tmp_path: Path, stage: str) -> None:
    begin, _ = STAGES[stage]
    reached = threading.Event()

    def talk(connection: socket.socket, over: threading.Event) -> None:
        if stage != "handshake":
            read_head(connection)
        connection.sendall(begin)
        reached.set()
        over.wait(60)

    cancel = CancelToken()

    def end() -> None:
        reached.wait(30)
        cancel.set()

    scheme = "https" if stage == "handshake" else "http"
    thread = threading.Thread(target=end)
    thread.start()
    patient = quick(RetryPolicy(), cancel)
    with raw_server(talk) as port:
        source = source_of(DATA, f"{scheme}://127.0.0.1:{port}/curl-8.21.0.tar.gz")
        began = time.monotonic()
        with pytest.raises(Cancelled):
            fetch(source, Cache(tmp_path), Mirrors(), options=patient)
    thread.join()
    assert time.monotonic() - began < 20  # the policy alone would take 30 s


def test_a_name_that_is_never_resolved_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def never(*_: object) -> list[object]:
        answer.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    try:
        with pytest.raises(TimeoutError):
            _resolve("a.test", 80, Exchange(quick()), 0.3)
        cancel = CancelToken()
        cancel.set()
        with pytest.raises(Cancelled):
            _resolve("a.test", 80, Exchange(quick(cancel=cancel)), 0.3)
    finally:
        answer.set()


def test_what_was_too_slow_is_said_in_numbers(tmp_path: Path) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        read_head(connection)
        say(connection, over, "drip", b"HTTP")

    with raw_server(talk) as port:
        source = source_of(DATA, f"http://127.0.0.1:{port}/curl-8.21.0.tar.gz")
        with pytest.raises(Unavailable, match=r"is too slow: \d+ bytes in"):
            fetch(source, Cache(tmp_path), Mirrors(), options=quick())


def test_bytes_around_a_body_are_bounded_by_the_body() -> None:
    exchange = Exchange(ClientOptions())
    exchange.received(LARGEST_WRAPPING)
    with pytest.raises(Fault, match="around 0 bytes of an answer"):
        exchange.received(1)
    exchange.used(1000)
    exchange.received(1000)


@given(sending=st.integers(0, 200), thinking=st.integers(0, 60), rate=st.sampled_from([0, 2, 1024]))
def test_a_body_that_was_taken_in_slowly_may_be_thought_about(
    sending: int, thinking: int, rate: int
) -> None:
    """A registry hashes what it got before it answers."""
    now = 0.0
    policy = RetryPolicy(grace=60.0, min_rate=1.0)
    exchange = Exchange(ClientOptions(policy=policy, monotonic=lambda: now))
    exchange.begin()
    exchange.turns(sending=True)
    try:
        for _ in range(sending):
            exchange.sent(rate)
            now += 1.0
            exchange.check()
    except Fault:
        assert rate < policy.min_rate
        assert now > policy.grace
        return
    exchange.turns(sending=False)
    now += thinking
    exchange.check()
    now += policy.grace + 1
    with pytest.raises(Fault, match="is too slow"):
        exchange.check()
