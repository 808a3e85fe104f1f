"""Cancellation: one token that every thread of a run looks at."""

from threading import Event

from core.errors import FromscratchError, StepError


class CancelToken(Event):
    """Tells everything that runs to end: set by Ctrl-C and by the first failure. Truthy once it is set."""

    __bool__ = Event.is_set

    def check(self, doing: str) -> None:
        """Raise Cancelled when the token is set; ``doing`` names what ends with it."""
        if self:
            msg = f"Cancelled: {doing}"
            raise Cancelled(msg)


class Cancelled(FromscratchError):
    """The work was ended because the run is over; never shown as the cause."""

    code = StepError.code
