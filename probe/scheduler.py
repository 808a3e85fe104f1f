"""Runs checks side by side in one thread: each is a generator that yields what it waits for."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps, Wait
from probe.system import monotonic, wait

LONGEST_WAIT = 86400.0  # poll() counts milliseconds in 31 bits


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
        yield [], wake


def run_tasks(
    tasks: list[Steps[str]], deadline: float
) -> list[tuple[str | Exception | None, float]]:
    """Return (result or exception, time of its end) of each; None: cut off by the deadline."""
    results: list[tuple[str | Exception | None, float]] = [(None, deadline) for _ in tasks]
    waiting: dict[int, Wait] = {}
    ready = list(range(len(tasks)))
    while True:
        for index in ready:
            try:
                waiting[index] = next(tasks[index])
                continue
            except StopIteration as stop:
                results[index] = (stop.value, monotonic())
            except Exception as error:
                results[index] = (error, monotonic())
            waiting.pop(index, None)
        if not waiting:
            return results
        if monotonic() >= deadline:
            for index in waiting:
                tasks[index].close()
            return results
        ready = _wait_for(waiting, deadline)


def _wait_for(waiting: dict[int, Wait], deadline: float) -> list[int]:
    """Sleep until a task has something to do; return those that have, or none: it was a long sleep."""
    wake = deadline
    every = []
    for pairs, until in waiting.values():
        wake = min(wake, until)
        every += pairs
    fired = wait(every, min(max(0.0, wake - monotonic()), LONGEST_WAIT))
    now = monotonic()
    ready = []
    for index, (pairs, until) in waiting.items():
        if until <= now or any(descriptor in fired for descriptor, _ in pairs):
            ready.append(index)
    return sorted(ready)
