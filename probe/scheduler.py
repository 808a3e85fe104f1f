"""Runs checks side by side in one thread: each is a generator that yields what it waits for."""

from __future__ import annotations

from select import poll
from time import monotonic

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps, Wait

NOTHING: Wait = ((), 0.0)


class Trace:
    """Where one check stands: what a timeout would interrupt, and notes for --verbose."""

    def __init__(self, deadline: float, verbose: bool = False) -> None:
        self.started = monotonic()
        self.deadline = deadline
        self.verbose = verbose
        self.phase = "starting"
        self.attempts = 0
        self.previous = ""  # why the attempt before this one failed
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a line for --verbose, with the time; a bounded number of them."""
        if self.verbose and len(self.notes) < 64:
            self.notes.append(f"{(monotonic() - self.started) * 1000:.1f} ms: {text}")

    def check(self) -> None:
        """Raise after the deadline: for loops that a flood of input keeps from waiting."""
        if monotonic() >= self.deadline:
            raise Unhealthy(self.timeout_text())

    def timeout_text(self) -> str:
        """Say what was going on when the time was over."""
        before = f" (attempt {self.attempts}; before: {self.previous})" if self.previous else ""
        return f"timeout while {self.phase}{before}"


def with_retries(
    start: Callable[[Trace], Steps[str]], trace: Trace, retries: int, interval: float
) -> Steps[str]:
    """Make an attempt, and up to `retries` more after failures while there is time."""
    while True:
        trace.attempts += 1
        try:
            return (yield from start(trace))
        except Unhealthy as error:
            wake = monotonic() + interval
            if trace.attempts > retries or wake >= trace.deadline:
                raise
            trace.previous = str(error)
            trace.note(f"attempt {trace.attempts}: {error}")
        trace.phase = "waiting for the next attempt"
        yield (), wake


def run_tasks(
    tasks: list[Steps[str]], deadline: float
) -> list[tuple[str | Exception | None, float]]:
    """Return (result or exception, time of its end) of each; None: cut off by the deadline."""
    results: list[tuple[str | Exception | None, float]] = [(None, deadline)] * len(tasks)
    waiting = dict.fromkeys(range(len(tasks)), NOTHING)
    ready = list(waiting)
    while True:
        for index in ready:
            try:
                waiting[index] = next(tasks[index])
            except StopIteration as stop:
                results[index] = (stop.value, monotonic())
                del waiting[index]
            except Exception as error:
                results[index] = (error, monotonic())
                del waiting[index]
        if not waiting:
            return results
        if monotonic() >= deadline:
            for index in waiting:
                tasks[index].close()
            return results
        ready = _wait_for(waiting, deadline)


def _wait_for(waiting: dict[int, Wait], deadline: float) -> list[int]:
    """Sleep until a task has something to do; return those that have."""
    poller = poll()
    wake = deadline
    for pairs, until in waiting.values():
        wake = min(wake, until)
        for descriptor, events in pairs:
            poller.register(descriptor, events)
    fired = {descriptor for descriptor, _ in poller.poll(max(0.0, wake - monotonic()) * 1000)}
    now = monotonic()
    return [
        index
        for index, (pairs, until) in waiting.items()
        if until <= now or any(descriptor in fired for descriptor, _ in pairs)
    ]
