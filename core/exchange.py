"""What one question to a server and its answer may cost, from the first look for its name to the last byte.

Everything that can wait looks here: for the run's end, for a rate that is too low on the average, and for bytes that
nobody needs (a flood of `100 Continue`, of trailers, of chunk extensions).
"""

from core.retry import ClientOptions, Fault

GLANCE = 0.2
"""Longest wait, in seconds, between two looks at the cancel token and the clock."""
LARGEST_WRAPPING = 1 << 17
"""Bytes of an answer that may be something else than its body: RFC 9112 sets no limit.

With `RetryPolicy.min_rate` they are what ends an exchange whose body is small, or is none.
"""
WRAPPING_RATIO = 16
"""Bytes more of the same for each byte of the body: a chunk of one byte takes six, and TLS is not counted."""


class Exchange:
    """Counts and times one exchange at a time. Used by one thread."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._began = options.monotonic()
        self._moved = self._received = self._used = 0
        self._sending = False

    def begin(self) -> None:
        """Another question begins."""
        self._began = self._options.monotonic()
        self._moved = self._received = self._used = 0
        self._sending = False

    def check(self) -> None:
        """Look whether to go on. Raises Cancelled, and Fault when it is too slow."""
        self._options.cancel.check("fetching")
        policy = self._options.policy
        now = self._options.monotonic()
        elapsed = now - self._began
        if elapsed <= policy.grace:
            return
        if self._moved < elapsed * policy.min_rate:
            what = "takes bytes too slowly" if self._sending else "is too slow"
            msg = f"{what}: {self._moved} bytes in {elapsed:.0f} s"
            raise Fault(msg, tries=policy.futile_tries)
        # What came fast before does not allow for a drip now.
        self._began, self._moved = now, 0

    def turns(self, *, sending: bool) -> None:
        """Bytes are about to go out, or to come in: whatever takes long now is that.

        Who took in a body slowly may still think about it for a whole ``grace``. Only we can turn to sending again.
        """
        if self._sending and not sending:
            self._began, self._moved = self._options.monotonic(), 0
        self._sending = sending

    def sent(self, size: int) -> None:
        """``size`` bytes went out."""
        self._moved += size

    def received(self, size: int) -> None:
        """``size`` bytes came in, of whatever. Raises Fault when too few of them are of use."""
        self._moved += size
        self._received += size
        wrapping = self._received - self._used
        if wrapping > LARGEST_WRAPPING + WRAPPING_RATIO * self._used:
            policy = self._options.policy
            msg = f"sends {wrapping} bytes around {self._used} bytes of an answer"
            raise Fault(msg, tries=policy.futile_tries)

    def used(self, size: int) -> None:
        """``size`` of the bytes that came in were of the body."""
        self._used += size
