"""Somebody who is told how a run comes along: a terminal, a log, nobody."""

from typing import Protocol

from builders.engines.engine import Stop, Stopped
from builders.sources.client import Progress, Silent
from recipes.model import Source


class Transfer(Protocol):
    """Somebody who shows how bytes leave this machine, or come to it from a registry."""

    def started(self, label: str, size: int) -> None:
        """``size`` bytes begin to travel."""

    def advanced(self, size: int) -> None:
        """``size`` more bytes have travelled."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def finished(self) -> None:
        """What was started has come to its end."""


class Report(Protocol):
    """Called from several threads."""

    def step_started(self, name: str) -> None:
        """A step begins to run (not called when its result was cached)."""

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        """A step's result is there."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def warn(self, text: str) -> None:
        """Something worth a line that nobody should miss."""

    def download(self) -> Progress:
        """Return somebody to tell about one fetch."""
        ...

    def transfer(self) -> Transfer:
        """Return somebody to tell about one push or pull."""
        ...

    def close(self) -> None:
        """The run is over: put the display away."""


class Stoppable:
    """A `Progress` that ends its fetch when everything is to stop."""

    def __init__(self, progress: Progress, stop: Stop) -> None:
        self.progress = progress
        self.stop = stop

    def started(self, source: Source, url: str) -> None:
        """Pass it on."""
        self._look()
        self.progress.started(source, url)

    def advanced(self, size: int) -> None:
        """Pass it on."""
        self._look()
        self.progress.advanced(size)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._look()
        self.progress.note(text)

    def finished(self) -> None:
        """Pass it on."""
        self.progress.finished()

    def sleep(self, seconds: float) -> None:
        """Wait before the next try, but not longer than there will be one."""
        self.stop.event.wait(seconds)
        self._look()

    def _look(self) -> None:
        if self.stop:
            msg = "Stopped: fetching"
            raise Stopped(msg)


class Quiet:
    """A `Report` that shows nothing."""

    def step_started(self, name: str) -> None:
        """Show nothing."""

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Show nothing."""

    def download(self) -> Progress:
        """Show nothing."""
        return Silent()

    def transfer(self) -> Transfer:
        """Show nothing."""
        return Untold()

    def close(self) -> None:
        """Show nothing."""


class Untold:
    """A `Transfer` that shows nothing."""

    def started(self, label: str, size: int) -> None:
        """Show nothing."""

    def advanced(self, size: int) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def finished(self) -> None:
        """Show nothing."""
