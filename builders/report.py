"""Somebody who is told how a run comes along: a terminal, a log, nobody."""

from typing import Protocol

from builders.sources.client import Progress, Silent


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

    def close(self) -> None:
        """The run is over: put the display away."""


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

    def close(self) -> None:
        """Show nothing."""
