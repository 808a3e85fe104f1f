"""What a trace says of the runs that it is of: lanes, steps, what failed, and the critical path."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from records.trace import Span as Recorded
from records.trace import Trace
from report.critical import Task, critical_path
from report.data import Run, Span, Trouble

KINDS = ("fetch", "step", "verdict", "smoke")
PACKED = ".upx"
"""How the name of a packed file ends."""


def runs(trace: Trace) -> tuple[Run, ...]:
    """Return the runs of a trace, the newest first."""
    return tuple(
        Run(
            when=run.when,
            cores=run.cores or None,
            jobs=run.jobs or None,
            seconds=run.seconds,
            spans=_spans([it for it in trace.spans if it.run == run.number and it.kind in KINDS]),
        )
        for run in trace.runs
    )


def troubles(trace: Trace) -> Iterator[Trouble]:
    """Yield what the newest run refused, or failed to make."""
    newest = trace.runs[0].number if trace.runs else 0
    for it in trace.spans:
        what = _trouble(it) if it.run == newest else ""
        if what:
            yield Trouble(name=it.name, product=it.product, target=it.target, what=what)


def _trouble(span: Recorded) -> str:
    facts = span.facts
    if span.failed:
        return f"{span.kind} failed"
    if span.kind == "verdict" and facts.get("ok") is False:
        return "refused"
    if span.kind == "smoke" and facts.get("ran") is True and facts.get("ok") is False:
        return "smoke run failed"
    return ""


def _spans(recorded: Sequence[Recorded]) -> tuple[Span, ...]:
    tasks = [
        Task(
            name=_key(it),
            lane=it.lane,
            began=it.began,
            ended=it.began + it.seconds,
            needs=_needs(it, recorded),
        )
        for it in recorded
        if not it.cached
    ]
    path = critical_path(tasks)
    spans = [
        replace(_span(it), critical=not it.cached and _key(it) in path)
        for it in sorted(recorded, key=lambda it: (_lane_order(it.lane), it.began))
    ]
    return tuple(spans)


def _key(span: Recorded) -> str:
    return f"{span.kind} {span.name}"


def _needs(span: Recorded, others: Sequence[Recorded]) -> list[str]:
    """What had to be done before: steps say it; a file is tried after its verdict, and judged after its step."""
    match span.kind:
        case "step":
            recipe = span.product.partition(":")[0]
            own = [
                _key(it) for it in others if it.kind == "fetch" and it.name.startswith(f"{recipe} ")
            ]
            return [*(f"step {need}" for need in span.needs), *own]
        case "smoke":
            return [f"verdict {span.name}"]
        case "verdict":
            stage = "pack" if span.name.endswith(PACKED) else "build"
            made = (span.product, span.target, stage)
            return [
                _key(it)
                for it in others
                if it.kind == "step" and (it.product, it.target, it.stage) == made
            ]
        case _:
            return []


def _span(span: Recorded) -> Span:
    kind = span.kind
    if kind == "step":
        kind = "pack" if span.stage == "pack" else "build"
    return Span(
        name=span.name,
        kind=kind,
        lane=span.lane,
        began=span.began,
        seconds=span.took or 0.0,
        cached=span.cached,
        failed=span.failed,
        cpu=span.cpu,
        memory=span.memory or span.rss,
    )


def _lane_order(lane: str) -> tuple[int, str, int]:
    """Fetching, steps, verdicts: as they come one after the other."""
    name, _, number = lane.rpartition("_")
    first = {"main": 0, "fetch": 1, "step": 2, "verify": 3}.get(name or lane, 2)
    return first, name, int(number) if number.isdecimal() else 0
