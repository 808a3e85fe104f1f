"""How was it built: what ran when, what had to wait for what, and what did each step take?"""

from collections.abc import Sequence

from report.chart import INK, SOFT, Chapter, Drawing, Legend, Table, names, rows, vega_lite
from report.data import Report, Run, Span
from report.words import count, mebibytes, moment, seconds

WIDTH = 820
MOST_RUNS = 3
"""How many runs are drawn: the newest ones in which something was done."""
MOST_STEPS = 25
"""How many steps are drawn: those that took longest."""
SHORTEST = 1 / 2000
"""A part of a run: what took less would be less than half a pixel wide, and stands in the table alone."""
CHARACTER = 6.6
"""Pixels of a letter, about."""

KINDS = {
    "fetch": ("var(--c4)", "fetched"),
    "build": ("var(--c1)", "built"),
    "pack": ("var(--c2)", "packed"),
    "verdict": ("var(--c3)", "judged"),
    "smoke": ("var(--c5)", "tried out"),
}


def steps(report: Report) -> Chapter:
    """The runs' lanes, and the steps' costs."""
    if not report.runs:
        return Chapter(
            id="steps",
            title="How it was built",
            says="",
            missing=["No trace was recorded: ./inv build … --timings, then ./inv report."],
        )
    busy = [run for run in report.runs if _worked(run)][:MOST_RUNS]
    spans = [span for run in report.runs for span in run.spans]
    built = _longest(spans)
    notes = []
    cached = sum(span.cached for span in report.runs[0].spans if span.kind in {"build", "pack"})
    total = sum(span.kind in {"build", "pack"} for span in report.runs[0].spans)
    if cached:
        notes.append(
            f"In the newest run {cached} of {count(total, 'step')} were taken from the cache."
        )
    drawings = [_lanes(run, several=len(busy) > 1) for run in busy]
    drawings += [_costs(built)] if built else []
    return Chapter(
        id="steps",
        title="How it was built",
        says="Each lane is one worker; bars are what it did, in seconds since the run began. Outlined bars are the "
        "critical path: each of them had to wait for the one before, so they alone decide how long the run takes.",
        drawings=drawings,
        legend=[
            Legend(sign=f"sign-cell sign-{kind}", means=means)
            for kind, (_, means) in KINDS.items()
            if any(span.kind == kind and not span.cached for run in busy for span in run.spans)
        ]
        + ([Legend(sign="sign-cell sign-critical", means="on the critical path")] if busy else [])
        + (
            [Legend(sign="sign-cell sign-failed", means="✗ failed")]
            if any(it.failed for it in spans)
            else []
        ),
        tables=[_table(report)],
        notes=notes,
        missing=[]
        if busy
        else ["No time line: in the run that was recorded nothing had to be built or fetched."],
    )


def _worked(run: Run) -> bool:
    """True when more was done than to look at what was known already."""
    return any(not span.cached and span.kind in {"fetch", "build", "pack"} for span in run.spans)


def _done(run: Run) -> list[Span]:
    return [span for span in run.spans if not span.cached and span.seconds > SHORTEST * run.seconds]


def _longest(spans: Sequence[Span]) -> list[Span]:
    """The steps that took longest, each once: one that was done is told from its later use."""
    found: dict[str, Span] = {}
    for span in sorted(spans, key=lambda it: it.cached):
        if span.kind in {"build", "pack"}:
            found.setdefault(span.name, span)
    return sorted(found.values(), key=lambda it: -it.seconds)[:MOST_STEPS]


def _lanes(run: Run, *, several: bool) -> Drawing:
    done = _done(run)
    end = max([run.seconds, *(span.ended for span in done)]) or 1.0
    values = [
        {
            "lane": span.lane,
            "began": round(span.began, 3),
            "ended": round(span.ended, 3),
            "kind": "failed" if span.failed else span.kind,
            "critical": span.critical,
            "text": _fits(span, end),
            "said": f"{'✗ failed: ' if span.failed else ''}{span.name}: {KINDS[span.kind][1]} in "
            f"{seconds(span.seconds)}"
            f"{', on the critical path' if span.critical else ''}",
        }
        for span in done
    ]
    critical = sum(span.seconds for span in done if span.critical)
    lanes = len({span.lane for span in done})
    title = f"The run of {moment(run.when)}" if run.when else "The run"
    y = names("lane", (span.lane for span in done), grid=False)
    x = {
        "field": "began",
        "type": "quantitative",
        "title": "seconds",
        "scale": {"domain": [0, round(end, 3)], "nice": False},
    }
    colours = {
        "domain": [*KINDS, "failed"],
        "range": [*(colour for colour, _ in KINDS.values()), "var(--bad)"],
    }
    return Drawing(
        title=f"{title}: {seconds(run.seconds)} on {_workers(run)}",
        label=f"A time line of {count(len(done), 'task')} in {count(lanes, 'lane')}, {seconds(run.seconds)} in all; "
        f"the critical path is {seconds(critical)} long.",
        spec=vega_lite(
            data=rows(values),
            width=WIDTH,
            height={"step": 28},
            encoding={"y": y, "x": x},
            layer=[
                {
                    "mark": {"type": "bar", "height": 22, "cornerRadius": 2, "minBandSize": 1},
                    "encoding": {
                        "x2": {"field": "ended"},
                        "color": {
                            "field": "kind",
                            "type": "nominal",
                            "scale": colours,
                            "legend": None,
                        },
                        "stroke": {
                            "condition": {"test": "datum.critical", "value": INK},
                            "value": "var(--page)",
                        },
                        "strokeWidth": {
                            "condition": {"test": "datum.critical", "value": 2},
                            "value": 0.5,
                        },
                        "description": {"field": "said"},
                    },
                },
                {
                    "mark": {
                        "type": "text",
                        "align": "left",
                        "dx": 4,
                        "fontSize": 11,
                        "color": "var(--on)",
                    },
                    "encoding": {"text": {"field": "text"}},
                },
            ],
        ),
    )


def _workers(run: Run) -> str:
    cores = count(run.cores, "core") if run.cores else "an unknown machine"
    return f"{cores}, {count(run.jobs, 'step')} at a time" if run.jobs else cores


def _fits(span: Span, end: float) -> str:
    """As much of the name as there is room for: nothing when that says nothing."""
    room = int((WIDTH * span.seconds / end - 8) / CHARACTER)
    name = span.name.split(" ")[0] + (" ✗" if span.failed else "")
    return name if len(name) <= room else f"{name[: room - 1]}…" if room >= 5 else ""


def _costs(built: list[Span]) -> Drawing:
    values = []
    for span in built:
        parts = [seconds(span.seconds)]
        parts += [f"CPU {seconds(span.cpu)}"] if span.cpu is not None else []
        parts += [mebibytes(span.memory)] if span.memory is not None else []
        value: dict[str, object] = {
            "step": span.name + (" (cached)" if span.cached else ""),
            "seconds": round(span.seconds, 3),
            "text": ", ".join(parts),
            "end": max(span.seconds, span.cpu or 0),
            "said": f"{span.name}: {', '.join(parts)}",
        }
        if span.cpu is not None:
            value["cpu"] = round(span.cpu, 3)
        values.append(value)
    x = {"field": "seconds", "type": "quantitative", "title": "seconds; the dark line is CPU"}
    return Drawing(
        title=f"The {len(built)} longest steps, by the clock, with CPU and memory"
        if len(built) > 1
        else "The step, by the clock, with CPU and memory",
        label=f"Bars of {count(len(built), 'step')}; the longest is {built[0].name} with {seconds(built[0].seconds)}.",
        spec=vega_lite(
            data=rows(values),
            width=480,
            height={"step": 24},
            encoding={"y": names("step", (str(value["step"]) for value in values))},
            layer=[
                {
                    "mark": {"type": "bar", "height": 16, "color": "var(--c1soft)"},
                    "encoding": {"x": x, "description": {"field": "said"}},
                },
                {
                    "transform": [{"filter": "isValid(datum.cpu)"}],
                    "mark": {"type": "bar", "height": 5, "color": "var(--c1)"},
                    "encoding": {"x": {**x, "field": "cpu"}, "description": {"field": "said"}},
                },
                {
                    "mark": {"type": "text", "align": "left", "dx": 7, "color": SOFT},
                    "encoding": {"x": {**x, "field": "end"}, "text": {"field": "text"}},
                },
            ],
        ),
    )


def _table(report: Report) -> Table:
    found = []
    for run in report.runs:
        for span in run.spans:
            state = "failed" if span.failed else "cached" if span.cached else KINDS[span.kind][1]
            found.append(
                (
                    moment(run.when) or "the run",
                    span.lane,
                    span.name,
                    span.kind,
                    f"{span.began:.2f}",
                    f"{span.seconds:.2f}",
                    "not recorded" if span.cpu is None else f"{span.cpu:.2f}",
                    mebibytes(span.memory),
                    state,
                    "yes" if span.critical else "",
                )
            )
    head = ("run", "lane", "what", "kind", "began, s", "took, s", "CPU, s", "memory", "state")
    return Table(caption="Everything that was done", head=(*head, "critical path"), rows=found)
