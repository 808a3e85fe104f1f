"""Somebody who is told how a run comes along: a terminal, a log, nobody."""

from dataclasses import dataclass

from core.cancel import CancelToken


class Progress:
    """Somebody who shows how bytes travel; this one shows nothing. Called from the thread that moves them."""

    def started(self, label: str, size: int, origin: str = "") -> None:
        """An attempt at ``size`` bytes begins, from ``origin``; the count begins at zero again."""

    def advanced(self, size: int) -> None:
        """``size`` more bytes are here."""

    def note(self, text: str) -> None:
        """Something worth a line happened: a wait, a retry, a mirror given up."""

    def finished(self) -> None:
        """It is over, well or badly. Not called when nothing was started."""


class Report:
    """Somebody who is told of steps; this one shows nothing. Called from several threads."""

    def step_started(self, name: str) -> None:
        """A step begins to run (not called when its result was cached)."""

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        """A step's result is there."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def warn(self, text: str) -> None:
        """Something worth a line that nobody should miss."""

    def progress(self, verb: str) -> Progress:
        """Return somebody to tell about one thing that travels; ``verb`` is ``fetch`` or ``copy``."""
        return Progress()

    def close(self) -> None:
        """The run is over: put the display away."""


@dataclass(frozen=True)
class CancellableProgress(Progress):
    """A `Progress` that ends what it shows when the run is cancelled."""

    progress: Progress
    cancel: CancelToken

    def started(self, label: str, size: int, origin: str = "") -> None:
        self.cancel.check("fetching")
        self.progress.started(label, size, origin)

    def advanced(self, size: int) -> None:
        self.cancel.check("fetching")
        self.progress.advanced(size)

    def note(self, text: str) -> None:
        self.cancel.check("fetching")
        self.progress.note(text)

    def finished(self) -> None:
        self.progress.finished()

    def sleep(self, seconds: float) -> None:
        """Wait before the next try, but not longer than there will be one."""
        self.cancel.wait(seconds)
        self.cancel.check("fetching")
