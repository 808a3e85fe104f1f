"""The reports of a run: bars on a terminal, one plain line per event elsewhere."""

import sys
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

from core.progress import Progress, Report
from core.visible import visible, visible_line

if TYPE_CHECKING:
    from rich.progress import TaskID


class PlainProgress(Progress):
    """One line when a transfer begins, one when a download is complete."""

    def __init__(self, report: "PlainReport", verb: str) -> None:
        self.report = report
        self.verb = verb
        self.label = self.origin = ""
        self.began = 0.0
        self.size = self.whole = 0

    def started(self, label: str, size: int, origin: str = "") -> None:
        self.label, self.origin, self.began = label, origin, time.monotonic()
        self.whole = size
        self.note(f"{label} from {origin}" if origin else f"{label} ({size:,} bytes)")

    def advanced(self, size: int) -> None:
        self.size += size

    def note(self, text: str) -> None:
        self.size = 0  # what came so far was for nothing, or is counted again
        self.report.note(f"{self.verb:<7} {text}")

    def finished(self) -> None:
        if self.origin and self.whole and self.size == self.whole:
            seconds = time.monotonic() - self.began
            self.report.note(f"fetched {self.label} ({self.size:,} bytes in {seconds:.1f} s)")


class PlainReport(Report):
    """For logs: every event is a line, nothing moves."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.lock = Lock()

    def step_started(self, name: str) -> None:
        self.note(f"start   {name}")

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        self.note(f"done    {name} ({'cached' if cached else f'{seconds:.1f} s'})")

    def note(self, text: str) -> None:
        with self.lock:
            print(visible(text), file=self.stream, flush=True)

    def warn(self, text: str) -> None:
        self.note(f"WARNING {text}")

    def progress(self, verb: str) -> Progress:
        return PlainProgress(self, verb)


class LiveProgress(Progress):
    """A bar for the transfer that runs now."""

    def __init__(self, report: "LiveReport", verb: str) -> None:
        self.report = report
        self.verb = verb
        self.task: TaskID | None = None

    def started(self, label: str, size: int, origin: str = "") -> None:
        self.finished()
        self.task = self.report.bars.add_task(
            visible_line(f"{self.verb} {label}"), total=size, what=visible_line(origin)
        )

    def advanced(self, size: int) -> None:
        if self.task is not None:
            self.report.bars.advance(self.task, size)

    def note(self, text: str) -> None:
        self.report.note(text)

    def finished(self) -> None:
        if self.task is not None:
            self.report.bars.remove_task(self.task)
            self.task = None


class LiveReport(Report):
    """For terminals: what runs now at the bottom, what is done above. Appears with the first event."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.tasks: dict[str, TaskID] = {}
        self._bars: Any = None

    @property
    def bars(self) -> Any:
        """rich's progress display; imported late, since a run that does nothing shows nothing."""
        with self.lock:
            if self._bars is None:
                from rich import progress  # noqa: PLC0415
                from rich.console import Console  # noqa: PLC0415

                self._bars = progress.Progress(
                    progress.SpinnerColumn(),
                    progress.TextColumn("{task.description}", markup=False),
                    progress.BarColumn(bar_width=24),
                    progress.TimeElapsedColumn(),
                    progress.TextColumn("{task.fields[what]}", style="dim", markup=False),
                    # What is shown comes from others: neither [words] nor :words: in it mean anything.
                    console=Console(stderr=True, highlight=False, markup=False, emoji=False),
                    transient=True,
                )
                self._bars.start()
            return self._bars

    def step_started(self, name: str) -> None:
        self.tasks[name] = self.bars.add_task(visible_line(name), total=None, what="")

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        from rich.text import Text  # noqa: PLC0415

        if (task := self.tasks.pop(name, None)) is not None:
            self.bars.remove_task(task)
        took = "cached" if cached else f"{seconds:.1f} s"
        line = (("✓", "green"), f" {visible_line(name)} ", (took, "dim"))
        self.bars.print(Text.assemble(*line))

    def note(self, text: str) -> None:
        self.bars.print(visible(text))

    def warn(self, text: str) -> None:
        self.bars.print(visible(f"warning: {text}"), style="yellow")

    def progress(self, verb: str) -> Progress:
        return LiveProgress(self, verb)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()


def make_report() -> Report:
    """Return bars where standard error is a terminal, else plain lines."""
    return LiveReport() if sys.stderr.isatty() else PlainReport()
