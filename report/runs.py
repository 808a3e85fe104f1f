"""What a trace says of the runs that it is of: lanes, steps, what failed, and the critical path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from report.critical import Task, critical_path
from report.data import Run, Span, Trouble

KINDS = ("fetch", "step", "verdict", "smoke")
MILLION = 1e6
PACKED = ".upx"
"""How the name of a packed file ends."""

Event = Mapping[str, Any]


def runs(trace: Mapping[str, Any]) -> tuple[Run, ...]:
    """Return the runs of a trace, newest first. Raises KeyError, TypeError and ValueError for what is none."""
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    lanes = {
        (event["pid"], event["tid"]): str(event["args"]["name"])
        for event in trace["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    about = trace["otherData"]
    told = about.get("runs") or [{**about, "pid": 1}]
    return tuple(
        Run(
            when=str(run.get("when", "")),
            cores=_whole(run.get("cores")),
            jobs=_whole(run.get("jobs")),
            seconds=float(run["seconds"]),
            spans=_spans([event for event in events if event["pid"] == run["pid"]], lanes),
        )
        for run in told
    )


def troubles(trace: Mapping[str, Any]) -> tuple[Trouble, ...]:
    """Return what the newest run refused, or failed to make."""
    return tuple(_troubles(event for event in trace["traceEvents"] if event.get("pid") == 1))


def _troubles(events: Iterator[Event]) -> Iterator[Trouble]:
    for event in events:
        args = event.get("args", {})
        kind = event.get("cat")
        if event.get("ph") != "X" or kind not in KINDS:
            continue
        what = ""
        if args.get("failed"):
            what = "step failed" if kind == "step" else f"{kind} failed"
        elif kind == "verdict" and args.get("ok") is False:
            what = "refused"
        elif kind == "smoke" and args.get("ran") is True and args.get("ok") is False:
            what = "smoke run failed"
        if what:
            product, target = (str(args.get(name, "")) for name in ("product", "target"))
            yield Trouble(name=str(event["name"]), product=product, target=target, what=what)


def _spans(events: Sequence[Event], lanes: Mapping[tuple[int, int], str]) -> tuple[Span, ...]:
    spans = []
    tasks = []
    for event in events:
        if event["cat"] not in KINDS:
            continue
        span = _span(event, lanes.get((event["pid"], event["tid"]), f"lane {event['tid']}"))
        spans.append(span)
        if not span.cached:
            needs = _needs(event, events)
            tasks.append(
                Task(
                    name=_key(span), lane=span.lane, began=span.began, ended=span.ended, needs=needs
                )
            )
    path = critical_path(tasks)
    order = sorted(spans, key=lambda it: (_lane_order(it.lane), it.began))
    return tuple(replace(it, critical=not it.cached and _key(it) in path) for it in order)


def _key(span: Span) -> str:
    kind = "step" if span.kind in {"build", "pack"} else span.kind
    return f"{kind} {span.name}"


def _needs(event: Event, events: Sequence[Event]) -> list[str]:
    """What had to be done before: steps say it; a file is tried after its verdict, and judged after its step."""
    args, name = event["args"], str(event["name"])
    match event["cat"]:
        case "step":
            recipe = str(args.get("product", "")).partition(":")[0]
            fetched = [f"fetch {it['name']}" for it in events if it["cat"] == "fetch"]
            own = [it for it in fetched if it.startswith(f"fetch {recipe} ")]
            return [*(f"step {need}" for need in args.get("needs", ())), *own]
        case "smoke":
            return [f"verdict {name}"]
        case "verdict":
            stage = "pack" if name.endswith(PACKED) else "build"
            same = {"product": args.get("product"), "target": args.get("target"), "stage": stage}
            return [
                f"step {it['name']}"
                for it in events
                if it["cat"] == "step" and all(it["args"].get(k) == v for k, v in same.items())
            ]
        case _:
            return []


def _span(event: Event, lane: str) -> Span:
    args = event["args"]
    cached = bool(args.get("cached"))
    took = args.get("then") or {} if cached else args
    seconds = float(took.get("seconds") or 0.0) if cached else event["dur"] / MILLION
    cpu = took.get("cpu")
    kind = str(event["cat"])
    if kind == "step":
        kind = "pack" if args.get("stage") == "pack" else "build"
    return Span(
        name=str(event["name"]),
        kind=kind,
        lane=lane,
        began=event["ts"] / MILLION,
        seconds=seconds,
        cached=cached,
        failed=bool(args.get("failed")),
        cpu=float(cpu) if cpu is not None else None,
        memory=_whole(took.get("memory")) or _whole(took.get("rss")),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _lane_order(lane: str) -> tuple[int, str, int]:
    """Fetching, steps, verdicts: as they come one after the other."""
    name, _, number = lane.rpartition("_")
    first = {"main": 0, "fetch": 1, "step": 2, "verify": 3}.get(name or lane, 2)
    return first, name, int(number) if number.isdecimal() else 0
