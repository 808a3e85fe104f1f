"""How long a server may take to refuse a TLS session, where it says nothing: within the deadline, and no longer."""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from probe.errors import Unhealthy
from probe.stream import WANTS_READ, Stream
from probe.tls import SHORTEST_PATIENCE, await_refusal
from tests.unit.probe.driver import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from probe.kinds import Steps
    from probe.scheduler import Trace


class Session:
    """A TLS session that has this to say, or nothing yet, or a refusal."""

    def __init__(self, said: bytes | None, refusal: str = "") -> None:
        self.said = said
        self.refusal = refusal
        self.reads = 0

    def handshake(self) -> int:
        return 0

    def read(self, size: int) -> bytes | int:
        assert size > 0
        self.reads += 1
        if self.refusal:
            raise ValueError(self.refusal)
        return WANTS_READ if self.said is None else self.said

    def write(self, data: bytes | bytearray | memoryview) -> int:
        raise AssertionError(data)


def waiting(
    connection: socket.socket, session: Session | None, handshake: float = 0.0
) -> Callable[[Trace], Steps[float]]:
    """A task that returns how many seconds it waited."""

    def start(trace: Trace) -> Steps[float]:
        stream = Stream(connection.fileno(), "peer", trace)
        stream.tls, stream.handshake_seconds = session, handshake
        began = monotonic()
        yield from await_refusal(stream)
        return monotonic() - began

    return start


def test_silence_passes_after_a_while() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert drive(waiting(one, Session(None)), 60) >= SHORTEST_PATIENCE
        assert (
            drive(waiting(one, Session(None), 2 * SHORTEST_PATIENCE), 60) >= 2 * SHORTEST_PATIENCE
        )


def test_silence_passes_before_a_near_deadline() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert drive(waiting(one, Session(None), 9.0), 1.0) >= 0.3


def test_words_pass_at_once_and_no_tls_too() -> None:
    one, other = socket.socketpair()
    with one, other:
        session = Session(b"220 hello")
        drive(waiting(one, session), 60)
        drive(waiting(one, None), 60)
        assert session.reads == 1


@pytest.mark.parametrize(
    ("session", "text"),
    [(Session(b""), "ended the connection"), (Session(None, "unknown ca"), "unknown ca")],
)
def test_an_end_and_an_alert_do_not_pass(session: Session, text: str) -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(Unhealthy, match=text):
        drive(waiting(one, session), 60)
