"""What a transfer may cost before it has failed: tries, waits, and the slowest rate that is put up with."""

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.cancel import CancelToken

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long one server is tried. Seconds, and bytes per second."""

    tries: int = 4
    connect_tries: int = 2
    """Tries at a host that does not even answer: each costs the whole ``connect``."""
    futile_tries: int = 1
    """Tries at a server that refuses connections, is not routed to, or drips: 1 where another can be asked."""
    connect: float = 8.0
    """Longest wait for a connection, and for the server to take in more of a body."""
    read: float = 30.0
    """Longest silence before and in an answer."""
    backoff: float = 0.5
    """Longest wait before the second try; doubles with every further one."""
    backoff_cap: float = 8.0
    retry_after_cap: float = 60.0
    """A server that asks for more is not waited for."""
    redirects: int = 5
    grace: float = 60.0
    min_rate: float = 1024.0
    """Average that an exchange must keep in every ``grace`` of it, from its first moment on: ends any slow drip."""


def new_session() -> "requests.Session":
    """Return a session that honours the proxies and certificates of the environment."""
    import requests  # noqa: PLC0415 - slow, and a warm run needs no network

    return requests.Session()


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """What a client needs from outside. Every part can be handed in."""

    policy: RetryPolicy = RetryPolicy()
    session: Callable[[], "requests.Session"] = new_session
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """A number from 0 to 1, for the jitter."""
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    """Seconds since 1970; only for servers that name a date to come back at."""
    cancel: CancelToken = field(default_factory=CancelToken)
    """Ends every wait within a second once it is set."""


class HttpError(Exception):
    """The server will not help, however often it is asked. What it says is for people, without any secret."""


class RetriesExhausted(HttpError):
    """What may heal did not, within the policy."""

    def __init__(self, reason: str, *, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        """What the server answered at last; 0 when it did not."""


class UnknownHost(HttpError):
    """The host's name cannot be resolved."""


class TlsError(HttpError):
    """There is no TLS connection that could be trusted."""


class InsecureRedirect(HttpError):
    """A redirect would leave https."""


class Fault(Exception):
    """A try failed in a way that the next may not."""

    def __init__(
        self,
        reason: str,
        *,
        wait: float | None = None,
        tries: int | None = None,
        sent: int = 0,
        status: int = 0,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.wait = wait
        """Seconds, if the server names them."""
        self.tries = tries
        """How many are worth while, if fewer than the policy's."""
        self.sent = sent
        """Bytes of a body that were on their way when the connection broke."""

    def delay(self, number: int, options: ClientOptions) -> float:
        """Return the seconds to wait after try ``number``. Raises HttpError when there is to be no other."""
        policy = options.policy
        if number >= min(policy.tries, self.tries or policy.tries):
            tried = f" (tried {number} times)" if number > 1 else ""
            msg = f"{self}{tried}"
            raise RetriesExhausted(msg, status=self.status)
        if self.wait is None:
            longest = min(policy.backoff_cap, policy.backoff * 2.0 ** (number - 1))
            return longest * (0.5 + options.random() / 2)
        if self.wait > policy.retry_after_cap:
            msg = f"{self}, and asks to come back in {self.wait:.0f} s"
            raise RetriesExhausted(msg)
        return self.wait


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a server asks us to wait: a number or a date, RFC 9110, 10.2.3."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rarely needed, never when warm

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return None
