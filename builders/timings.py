"""When each thing of a run began and ended, what it took, and the whole as a trace that browsers show.

The format is Chrome's, which https://ui.perfetto.dev opens:
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

VERSION = 1
MAIN = "main"


class EventKind(StrEnum):
    """What a span is about."""

    FETCH = "fetch"
    STEP = "step"
    VERDICT = "verdict"
    SMOKE = "smoke"


@dataclass(frozen=True, kw_only=True)
class Timings:
    """What was done in one run, when and by which thread. Thread-safe."""

    spans: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The thread, the spans of which do not overlap, and the trace's event without the thread's number."""
    zero: float = field(default_factory=time.monotonic)
    """When the run began, on the clock of ``time.monotonic``."""

    def add(
        self,
        name: str,
        kind: EventKind,
        *,
        began: float,
        ended: float,
        facts: Mapping[str, object],
        lane: str = "",
    ) -> None:
        """Remember what this thread, or another ``lane``, did between two moments of ``time.monotonic``."""
        main = threading.current_thread() is threading.main_thread()
        start, end = (round((moment - self.zero) * 1e6) for moment in (began, ended))
        event = {"name": name, "cat": kind.value, "ph": "X", "ts": start, "dur": end - start}
        lane = lane or (MAIN if main else threading.current_thread().name)
        self.spans.append((lane, {**event, "pid": 1, "args": dict(facts)}))  # atomic

    def cached(self, name: str, kind: EventKind, facts: Mapping[str, object]) -> None:
        """Remember what did not have to be done."""
        now = time.monotonic()
        self.add(name, kind, began=now, ended=now, facts={**facts, "cached": True})

    @contextmanager
    def measure(self, name: str, kind: EventKind) -> Iterator[dict[str, object]]:
        """Remember the block, however it ends; it is lent a table to put what it finds out into."""
        facts: dict[str, object] = {}
        began = time.monotonic()
        try:
            yield facts
        except BaseException:
            facts["failed"] = True
            raise
        finally:
            if facts.get("cached"):
                self.cached(name, kind, facts)
            else:
                self.add(name, kind, began=began, ended=time.monotonic(), facts=facts)

    def trace(self, **about: object) -> dict[str, Any]:
        """The whole as a JSON object; ``about`` is said of the run, beside its cores and seconds."""
        spans = sorted(self.spans, key=lambda span: (span[1]["ts"], span[1]["name"]))
        lanes = sorted({lane for lane, _ in spans} - {MAIN}, key=_natural)
        numbers = {MAIN: 0} | {lane: number for number, lane in enumerate(lanes, 1)}
        names = [
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": lane}}
            for lane, number in numbers.items()
        ]
        events = [{**event, "tid": numbers[lane]} for lane, event in spans]
        cores, seconds = os.cpu_count() or 1, round(time.monotonic() - self.zero, 6)
        return {
            "traceEvents": [*names, *events],
            "displayTimeUnit": "ms",
            "otherData": {"version": VERSION, "cores": cores, "seconds": seconds, **about},
        }


def _natural(lane: str) -> tuple[str, int]:
    """``step_2`` before ``step_10``."""
    name, _, number = lane.rpartition("_")
    return (name, int(number)) if number.isdecimal() else (lane, 0)
