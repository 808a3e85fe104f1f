"""A server that answers no more does not keep Ctrl-C or SIGTERM waiting, wherever in an exchange it stopped."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import Done, Inv, finish, listed
from tests.integration.traces import half_files, held_locks, wait_for
from tests.raw_server import raw_server, read_head

SECONDS = 10.0
"""On a busy machine; 3 else."""
SAID = {
    "handshake": b"\x16\x03\x03",
    "status line": b"HTTP/1.1",
    "header": b"HTTP/1.1 200 OK\r\nX: y",
    "body": b"HTTP/1.1 200 OK\r\n\r\n12345",
    "wait": b"HTTP/1.1 503 Busy\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n",
}
SIGNALS = [signal.SIGINT, signal.SIGTERM]
PLACES = [*SAID, "backlog"]


@contextlib.contextmanager
def stalled(place: str) -> Iterator[tuple[int, threading.Event]]:
    """Lend the port of a server that goes silent at ``place``, and what is set once somebody waits there."""
    reached = threading.Event()

    def talk(connection: socket.socket, over: threading.Event) -> None:
        if place != "handshake":
            read_head(connection)
        connection.sendall(SAID[place])
        reached.set()
        over.wait(60)

    if place != "backlog":
        with raw_server(talk) as port:
            yield port, reached
        return
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        # Nobody accepts: once these are in, the next one's greeting is dropped.
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.2)
        reached.set()
        yield port, reached


def dialling(port: int) -> int:
    """How many sockets of this machine have greeted ``port``, and got no answer yet."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(
        there.endswith(f":{port:04X}") and state == "02" for _, _, there, state, *_ in fields
    )


@pytest.fixture
def alone(tmp_path: Path) -> Inv:
    """The command with nothing but an empty cache."""
    return Inv(directory=tmp_path).set(
        cache=tmp_path / "cache",
        artifacts=tmp_path / "artifacts",
        debian_mirror="http://127.0.0.1:1",
    )


def interrupted(
    inv: Inv, words: list[str], place: str, port: int, reached: threading.Event, number: int
) -> Done:
    """Start, wait until it waits, send the signal; the time that took is printed."""
    before = dialling(port)
    with inv.start(*words) as process:
        try:
            assert reached.wait(60), process.poll()
            if place == "backlog":
                wait_for(lambda: dialling(port) > before, seconds=60, what="a greeting")
            time.sleep(0.5)
            assert process.poll() is None
            began = time.monotonic()
            process.send_signal(number)
            done = finish(process, seconds=SECONDS)
        finally:
            process.kill()
    print(f"{words[0]}, {place}, {number}: {time.monotonic() - began:.2f} s")
    assert done.code == 130, done.stderr
    assert "Interrupted" in done.stderr
    return done


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_a_stalled_fetch_ends_with_the_signal(
    alone: Inv, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    with stalled(place) as (port, reached):
        scheme = "https" if place == "handshake" else "http"
        inv = alone.set(mirrors=f"{scheme}://127.0.0.1:{port}/")
        interrupted(inv, ["fetch", "curl:mini"], place, port, reached, number)
    assert half_files(tmp_path / "cache", tmp_path / "artifacts") == []
    assert held_locks(tmp_path / "cache") == []
    assert listed(tmp_path / "cache" / "cas") == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_a_stalled_look_at_a_registry_ends_with_the_signal(
    alone: Inv, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    with stalled(place) as (port, reached):
        where = f"oci://127.0.0.1:{port}/tools/curl:8.21.0"
        words = ["verify", "--release", where]
        words += [] if place == "handshake" else ["--insecure"]
        interrupted(alone, words, place, port, reached, number)
    assert half_files(tmp_path / "cache", tmp_path / "artifacts") == []
