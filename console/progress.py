"""Shows how a run comes along: bars on a terminal, one plain line per event elsewhere."""

import sys
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

from builders.report import Transfer
from builders.sources.client import Progress
from recipes.model import Source

if TYPE_CHECKING:
    from rich.progress import TaskID


class PlainDownload:
    """One line when a download begins, one when it ends."""

    def __init__(self, report: "PlainReport") -> None:
        self.report = report
        self.name = ""
        self.began = 0.0
        self.size = 0
        self.whole = 0

    def started(self, source: Source, url: str) -> None:
        """Say where from."""
        self.name, self.began = source.filename, time.monotonic()
        self.size, self.whole = 0, source.size
        self.report.note(f"fetch   {source.filename} from {url}")

    def advanced(self, size: int) -> None:
        """Count."""
        self.size += size

    def note(self, text: str) -> None:
        """Say it; what came so far was for nothing, or is counted again."""
        self.size = 0
        self.report.note(f"fetch   {text}")

    def finished(self) -> None:
        """Say how much and how long, if it went well."""
        if not self.whole or self.size != self.whole:
            return
        seconds = time.monotonic() - self.began
        self.report.note(f"fetched {self.name} ({self.size:,} bytes in {seconds:.1f} s)")


class PlainTransfer:
    """One line for each thing that travels."""

    def __init__(self, report: "PlainReport") -> None:
        self.report = report

    def started(self, label: str, size: int) -> None:
        """Say what."""
        self.report.note(f"copy    {label} ({size:,} bytes)")

    def advanced(self, size: int) -> None:
        """Lines do not move."""

    def note(self, text: str) -> None:
        """Say it."""
        self.report.note(f"copy    {text}")

    def finished(self) -> None:
        """The next line says it."""


class PlainReport:
    """For logs: every event is a line, nothing moves."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.lock = Lock()

    def step_started(self, name: str) -> None:
        """One line."""
        self.note(f"start   {name}")

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        """One line."""
        self.note(f"done    {name} ({'cached' if cached else f'{seconds:.1f} s'})")

    def note(self, text: str) -> None:
        """One line."""
        with self.lock:
            print(text, file=self.stream, flush=True)

    def warn(self, text: str) -> None:
        """One line that stands out."""
        self.note(f"WARNING {text}")

    def download(self) -> Progress:
        """Lines for one download."""
        return PlainDownload(self)

    def transfer(self) -> Transfer:
        """Lines for one push or pull."""
        return PlainTransfer(self)

    def close(self) -> None:
        """Nothing to put away."""


class LiveDownload:
    """A bar for one download."""

    def __init__(self, report: "LiveReport") -> None:
        self.report = report
        self.task: TaskID | None = None

    def started(self, source: Source, url: str) -> None:
        """Begin the bar, or begin it again."""
        bars = self.report.bars
        if self.task is None:
            self.task = bars.add_task(f"fetch {source.filename}", total=source.size, what="")
        bars.update(self.task, completed=0, what=url)

    def advanced(self, size: int) -> None:
        """Move the bar."""
        if self.task is not None:
            self.report.bars.advance(self.task, size)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self.report.note(text)

    def finished(self) -> None:
        """Take the bar away."""
        if self.task is not None:
            self.report.bars.remove_task(self.task)
            self.task = None


class LiveTransfer:
    """A bar for what travels just now."""

    def __init__(self, report: "LiveReport") -> None:
        self.report = report
        self.task: TaskID | None = None

    def started(self, label: str, size: int) -> None:
        """Begin a bar."""
        self.finished()
        self.task = self.report.bars.add_task(f"copy {label}", total=size, what="")

    def advanced(self, size: int) -> None:
        """Move the bar."""
        if self.task is not None:
            self.report.bars.advance(self.task, size)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self.report.note(text)

    def finished(self) -> None:
        """Take the bar away."""
        if self.task is not None:
            self.report.bars.remove_task(self.task)
            self.task = None


class LiveReport:
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
                    progress.TextColumn("{task.description}"),
                    progress.BarColumn(bar_width=24),
                    progress.TimeElapsedColumn(),
                    progress.TextColumn("[dim]{task.fields[what]}"),
                    console=Console(stderr=True, highlight=False),
                    transient=True,
                )
                self._bars.start()
            return self._bars

    def step_started(self, name: str) -> None:
        """Show that it runs."""
        task = self.bars.add_task(name, total=None, what="")
        with self.lock:
            self.tasks[name] = task

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        """Move it above the bars."""
        with self.lock:
            task = self.tasks.pop(name, None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.print(f"[green]✓[/] {name} [dim]{'cached' if cached else f'{seconds:.1f} s'}[/]")

    def note(self, text: str) -> None:
        """A line above the bars."""
        self.bars.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line above the bars that stands out."""
        self.bars.print(f"warning: {text}", style="yellow", markup=False)

    def download(self) -> Progress:
        """A bar for one download."""
        return LiveDownload(self)

    def transfer(self) -> Transfer:
        """Bars for one push or pull."""
        return LiveTransfer(self)

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()


def make_report() -> PlainReport | LiveReport:
    """Return what suits the standard error of this run."""
    return LiveReport() if sys.stderr.isatty() else PlainReport()
