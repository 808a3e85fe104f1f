"""Runs one task of the probe to its end, in this process."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

from probe.errors import Unhealthy
from probe.scheduler import Trace, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from probe.kinds import Steps

T = TypeVar("T")


def drive(start: Callable[[Trace], Steps[T]], seconds: float = 3) -> T:
    """Return what the task returns, or raise what it raises; TimeoutError at the deadline."""
    trace = Trace(monotonic() + seconds)
    [(result, _)] = run_tasks([cast("Steps[str]", start(trace))], trace.deadline)
    late = result is None or (isinstance(result, Unhealthy) and str(result) == trace.timeout_text())
    if late:
        raise TimeoutError(trace.timeout_text())
    if isinstance(result, Exception):
        raise result
    return cast("T", result)
