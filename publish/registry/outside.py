"""What talking to a registry needs from outside: patience, clocks, a session, logins, somebody to tell."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from core.progress import NullProgress
from publish.registry.credentials import Login, find_login


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How much a registry gets. Seconds, bytes, and bytes per second."""

    tries: int = 5
    connect: float = 8.0
    """Longest wait for a connection, and for the registry to take in more of a body."""
    read: float = 60.0
    """Longest silence before and in an answer: a registry hashes what it got before it answers."""
    backoff: float = 0.5
    """Longest wait before the second try; doubles with every further one."""
    backoff_cap: float = 8.0
    retry_after_cap: float = 60.0
    """A registry that asks for more is not waited for."""
    redirects: int = 5
    grace: float = 60.0
    min_rate: float = 1024.0
    """Average that a body must keep once ``grace`` is over: ends a slow drip."""
    piece: int = 512 << 10
    """What is sent at a time to a registry that does not take a file in one body."""
    smallest_piece: int = 64 << 10
    """Below this nobody's limit is served."""


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """The outside world. Every part can be handed in."""

    patience: RetryPolicy = RetryPolicy()
    login: Callable[[str], Login | None] = find_login
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """A number from 0 to 1, for the jitter."""
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    """Seconds since 1970; only for registries that name a date to come back at."""


OUTSIDE = ClientOptions()
"""The world as it is."""

SILENT = NullProgress()
