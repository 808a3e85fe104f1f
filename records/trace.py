"""`artifacts/timings.json`: the trace of the last build, and of older ones what really ran and was only found since.

A run that finds everything in the cache says nothing of how long things take: so the spans of older runs stay, as
other processes of the same trace, until what they tell of is done again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.errors import RecipeError
from records.store import BadRecordError, count, flag, moment, number, read_record, rows, text

VERSION: Final = 1
NAME: Final = "timings.json"

RUNS: Final = 20
"""How many runs one trace has spans of; the oldest are forgotten."""

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of ``inv build --timings``."""

    number: int
    """1 is the last one."""
    when: str
    """When it began, in UTC; empty: an older version did not say."""
    cores: int
    jobs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """What one lane did between two moments. Times in seconds since its run began, sizes in bytes."""

    run: int
    lane: str
    name: str
    kind: str
    """``fetch``, ``step``, ``verdict`` or ``smoke``."""
    began: float
    seconds: float
    """0 of what was only found."""
    cached: bool
    failed: bool
    product: str
    target: str
    stage: str
    needs: tuple[str, ...]
    """The names of the steps that it waited for."""
    took: float | None
    """Seconds; of what was only found, when it was made. None, as below: not known."""
    cpu: float | None
    """Seconds of all its processes."""
    rss: int | None
    """The resident peak of its largest process."""
    memory: int | None
    """The peak of all of it."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """All that the trace says of it; nothing of it was looked at."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Runs, the newest first, and their spans."""

    runs: tuple[Run, ...]
    spans: tuple[Span, ...]


def merge(new: dict[str, Any], artifacts: Path) -> dict[str, Any]:
    """Return a run's trace with what really ran earlier, as the trace in ``artifacts`` says it; a damaged one is left.

    ``new`` is what `builders.timings.Timings.trace` returns, and says ``when`` and ``jobs``.
    """
    about = new["otherData"]
    own = {"pid": 1} | {name: about[name] for name in ("when", "cores", "jobs", "seconds")}
    runs, events = [own], list(new["traceEvents"])
    try:
        older = read_record(artifacts / NAME, VERSION, _old, version_of=_version)
    except RecipeError:
        older = None
    lanes = max((event["tid"] for event in events), default=0)
    for run, spans in older or ():
        kept = [span for span in spans if _still_tells(span, events)]
        if not kept or len(runs) == RUNS:
            continue
        number_ = len(runs) + 1
        runs.append({**run, "pid": number_})
        said = f"earlier: {run['when'] or 'an older run'}"
        events.append(_named("process_name", said, pid=number_, tid=0))
        for lane in dict.fromkeys(span["lane"] for span in kept):
            lanes += 1
            events.append(_named("thread_name", lane, pid=number_, tid=lanes))
            for span in kept:
                if span["lane"] == lane:
                    plain = {name: value for name, value in span.items() if name != "lane"}
                    events.append({**plain, "pid": number_, "tid": lanes})
    if len(runs) > 1:
        events.append(_named("process_name", "this run", pid=1, tid=0))
    return {**new, "traceEvents": events, "otherData": {**about, "runs": runs}}


def read_trace(artifacts: Path) -> Trace | None:
    """Return the trace; None: not recorded. Raises RecipeError for a damaged one."""
    return read_record(artifacts / NAME, VERSION, _trace, version_of=_version)


def _version(table: dict[str, Any]) -> object:
    about = table.get("otherData")
    return about.get("version") if isinstance(about, dict) else None


def _named(kind: str, name: str, *, pid: int, tid: int) -> Event:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _still_tells(span: Event, events: Iterable[Event]) -> bool:
    """True when no newer run did the same again, or found it made of something else."""
    for event in events:
        if event["ph"] != "X" or (event["cat"], event["name"]) != (span["cat"], span["name"]):
            continue
        same = event["args"].get("key") == span["args"].get("key")
        # To look a verdict up is a verdict to the trace, but a shorter one.
        quicker = event["cat"] == "verdict" and event["dur"] <= span["dur"]
        if not (same and (event["args"].get("cached") or quicker)):
            return False
    return True


def _old(table: dict[str, Any]) -> list[tuple[dict[str, Any], list[Event]]]:
    """Return the runs of a trace, each with the spans of what ran and went well, which also say their ``lane``."""
    found = []
    for run in _runs(table):
        spans = [
            {**event, "lane": lane}
            for event, lane in _spans(table, run.number)
            if not event["args"].get("cached") and not event["args"].get("failed")
        ]
        about = {
            "when": run.when,
            "cores": run.cores,
            "jobs": run.jobs,
            "seconds": run.seconds,
        }
        found.append((about, spans))
    return found


def _runs(table: dict[str, Any]) -> Iterator[Run]:
    about = table["otherData"]
    # Older versions knew one run.
    listed = rows(about.get("runs", [{"pid": 1, "jobs": 0, "when": "", **about}]), "runs")
    for run in listed:
        when, seconds = run["when"], number(run["seconds"], "seconds")
        yield Run(
            number=count(run["pid"], "pid"),
            when=moment(when, "when") if when else "",
            cores=count(run["cores"], "cores"),
            jobs=count(run["jobs"], "jobs"),
            seconds=seconds or 0.0,
        )


def _spans(table: dict[str, Any], run: int) -> Iterator[tuple[Event, str]]:
    """Yield the spans of one run, looked at as far as anything here uses them, and the names of their lanes."""
    mine = [event for event in rows(table["traceEvents"], "traceEvents") if event["pid"] == run]
    lanes = {
        count(event["tid"], "tid"): text(event["args"]["name"], "lane")
        for event in mine
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    for event in mine:
        if event["ph"] != "X":
            continue
        text(event["name"], "name")
        text(event["cat"], "cat")
        count(event["ts"], "ts")
        count(event["dur"], "dur")
        if not isinstance(event["args"], dict):
            msg = f"'args' is no object: {event['args']!r:.50}"
            raise BadRecordError(msg)
        yield event, lanes.get(count(event["tid"], "tid"), str(event["tid"]))


def _trace(table: dict[str, Any]) -> Trace:
    runs = tuple(_runs(table))
    if len({run.number for run in runs}) != len(runs):
        msg = "two of its runs have the same number"
        raise BadRecordError(msg)
    return Trace(
        runs=runs,
        spans=tuple(
            _span(event, lane, run.number)
            for run in runs
            for event, lane in _spans(table, run.number)
        ),
    )


def _span(event: Event, lane: str, run: int) -> Span:
    facts = event["args"]
    cached = flag(facts.get("cached", False), "cached")
    then = facts.get("then") if cached else facts
    then = then if isinstance(then, dict) else {}
    needs = facts.get("needs", [])
    if not isinstance(needs, list):
        msg = f"'needs' is no list: {needs!r:.50}"
        raise BadRecordError(msg)
    seconds = event["dur"] / 1e6
    rss, memory = (then.get(name) for name in ("rss", "memory"))
    return Span(
        run=run,
        lane=lane,
        name=event["name"],
        kind=event["cat"],
        began=event["ts"] / 1e6,
        seconds=seconds,
        cached=cached,
        failed=flag(facts.get("failed", False), "failed"),
        product=text(facts.get("product", ""), "product"),
        target=text(facts.get("target", ""), "target"),
        stage=text(facts.get("stage", ""), "stage"),
        needs=tuple(text(need, "needs") for need in needs),
        took=number(then.get("seconds"), "seconds") if cached else seconds,
        cpu=number(then.get("cpu"), "cpu"),
        rss=None if rss is None else count(rss, "rss"),
        memory=None if memory is None else count(memory, "memory"),
        facts=facts,
    )
