"""What a fetch needs from outside: patience, clocks, a network session, somebody to tell."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests


class Trouble(StrEnum):
    """Why a mirror is of no use."""

    GONE = "gone"
    """It has not got the file, cannot be reached, or is too slow: another release may do."""
    WRONG = "wrong bytes"
    """It answered with something else than what was pinned: somebody should look at that."""


class Refused(Exception):
    """This mirror will not help: ask the next one. ``reason`` is for people, without any secret."""

    def __init__(self, reason: str, *, trouble: Trouble = Trouble.GONE) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trouble = trouble


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much patience one mirror gets. Seconds, and bytes per second."""

    tries: int = 4
    connect_tries: int = 2
    """Tries at a host that does not even answer: each costs the whole ``connect``."""
    connect: float = 8.0
    read: float = 30.0
    """Longest silence in a body."""
    backoff: float = 0.5
    """Longest wait before the second try; doubles with every further one."""
    backoff_cap: float = 8.0
    retry_after_cap: float = 60.0
    """A server that asks for more is not waited for."""
    redirects: int = 5
    grace: float = 60.0
    min_rate: float = 1024.0
    """Average that an attempt must keep once ``grace`` is over: ends a slow drip."""
    pip_rate: float = 65536.0
    """pip cannot be watched; it gets ``grace`` and the time that this rate takes."""


def new_session() -> "requests.Session":
    """Return a session that honours the proxies and certificates of the environment."""
    # Imported here: it is slow, and a warm run needs no network.
    import requests  # noqa: PLC0415

    return requests.Session()


@dataclass(frozen=True, kw_only=True)
class Client:
    """The outside world. Every part can be handed in."""

    limits: Limits = Limits()
    session: Callable[[], "requests.Session"] = new_session
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """A number from 0 to 1, for the jitter."""
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    """Seconds since 1970; only for servers that name a date to come back at."""
