from __future__ import annotations

import socket
import threading
from time import monotonic

import pytest

from probe.cli import run_checks
from probe.command import parse_command
from probe.report import Outcome
from tests.behaviour.servers import serving

HOUR = 3600.0


def checked_late(seconds: float) -> Outcome:
    """Check a server that speaks up after a while, `seconds` after the command began, with an hour's time."""

    def speak_up(connection: socket.socket) -> None:
        threading.Event().wait(0.1)
        connection.sendall(b"hello")

    with serving(speak_up) as server:
        words = [
            *(b"tcp", server.address.encode(), b"--expect", b"hello"),
            *(b"--retries", b"9", b"--timeout", b"1h"),
        ]
        (outcome,) = run_checks(parse_command(words, {}), monotonic() - seconds)
    return outcome


def test_before_the_deadline_there_is_time() -> None:
    outcome = checked_late(HOUR - 60)
    assert outcome.healthy
    assert HOUR - 60 < outcome.seconds < HOUR


@pytest.mark.parametrize("late", [0.0, 1.0, HOUR])
def test_at_the_deadline_all_is_over(late: float) -> None:
    outcome = checked_late(HOUR + late)
    assert not outcome.healthy
    assert "timeout" in outcome.seen
    assert outcome.seconds == pytest.approx(HOUR)
    assert outcome.attempts == 1
