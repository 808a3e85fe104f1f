"""Cancellation: one token that every thread of a run looks at."""

from dataclasses import dataclass, field
from threading import Event

from core.errors import FromscratchError, StepError


@dataclass(frozen=True, kw_only=True)
class CancelToken:
    """Tells everything that runs to end: set by Ctrl-C and by the first failure. Truthy once it is set."""

    event: Event = field(default_factory=Event)

    def __bool__(self) -> bool:
        return self.event.is_set()

    def cancel(self) -> None:
        """End everything that looks at this token."""
        self.event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep until the token is set, at most ``seconds``; return whether it is set."""
        return self.event.wait(seconds)

    def check(self, doing: str) -> None:
        """Raise Cancelled when the token is set; ``doing`` names what ends with it."""
        if self:
            msg = f"Cancelled: {doing}"
            raise Cancelled(msg)


class Cancelled(FromscratchError):
    """The work was ended because the run is over; never shown as the cause."""

    code = StepError.code
