"""What does one start cost, beside the bytes, of ours and of what else people use?"""

from collections.abc import Iterable

from report.chart import BYTES, INK, Chapter, Drawing, Legend, Table, rows, vega_lite
from report.data import Cost, Report
from report.words import count, exact, moment


def cost(report: Report) -> Chapter:
    """CPU of a start by bytes."""
    both = [it for it in report.costs if it.size and it.cpu is not None]
    unsized = [it for it in report.costs if not it.size and it.cpu is not None]
    missing = []
    if not report.costs:
        missing.append("Nothing was measured: ./inv bench --quick, then ./inv report.")
    elif not both:
        missing.append(
            "No program was measured in both: ./inv bench measures bytes and CPU, and notes them."
        )
    elif not any(not it.ours for it in (*both, *unsized)):
        missing.append("No peer was measured beside ours: ./inv bench without --quick.")
    machines = sorted({f"{it.machine} ({moment(it.when)})" for it in report.costs if it.machine})
    return Chapter(
        id="cost",
        title="Cost of use",
        says="CPU time of one start that makes one HTTP request, by the bytes of the file. Left and below is cheaper; "
        "both scales are of powers, so equal distances are equal ratios.",
        drawings=[_drawing(both, unsized)] if both else [],
        legend=[
            Legend(sign="sign-dot sign-big", means="ours"),
            Legend(sign="sign-square", means="another's"),
            *([Legend(sign="sign-line", means="not known in bytes")] if unsized else []),
        ]
        if both
        else [],
        tables=[_table(report.costs)] if report.costs else [],
        notes=[f"Measured on: {'; '.join(machines)}."] if machines else [],
        missing=missing,
    )


def _drawing(costs: list[Cost], unsized: list[Cost]) -> Drawing:
    lines: list[dict[str, object]] = [
        {
            "name": it.name,
            "cpu": it.cpu,
            "said": f"{it.name}: {it.cpu:.2f} ms; its bytes were not measured",
        }
        for it in unsized
    ]
    values = [
        {
            "name": it.name,
            "whose": "ours" if it.ours else "other",
            "size": it.size,
            "cpu": it.cpu,
            "said": f"{it.name}: {it.cpu:.2f} ms, {exact(it.size)} bytes",
        }
        for it in costs
    ]
    ticks = ladder(it.size or 1 for it in costs)
    marks = ladder(it.cpu or 0.001 for it in (*costs, *unsized))
    cheapest = min(costs, key=lambda it: it.cpu or 0)
    return Drawing(
        label=f"{count(len(costs), 'program')} as points; the cheapest is {cheapest.name} with {cheapest.cpu:.2f} ms.",
        spec=vega_lite(
            data=rows(values),
            width=760,
            height=340,
            encoding={
                "y": {
                    "field": "cpu",
                    "type": "quantitative",
                    "scale": {"type": "log", "domain": [marks[0], marks[-1]], "nice": False},
                    "axis": {"title": "ms of CPU per start", "values": marks, "format": "~g"},
                }
            },
            layer=[*_lines(lines), *_points(ticks)],
        ),
    )


def _lines(values: list[dict[str, object]]) -> list[dict[str, object]]:
    """Those that have no place from left to right."""
    if not values:
        return []
    return [
        {
            "data": rows(values),
            "mark": {"type": "rule", "strokeDash": [5, 4], "stroke": "var(--c2)", "strokeWidth": 2},
            "encoding": {"description": {"field": "said"}},
        },
        {
            "data": rows(values),
            "mark": {"type": "text", "align": "right", "dy": -7, "color": INK},
            "encoding": {"x": {"value": 756}, "text": {"field": "name"}},
        },
    ]


def _points(ticks: list[float]) -> list[dict[str, object]]:
    whose = {"field": "whose", "type": "nominal", "legend": None}
    x = {
        "field": "size",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [ticks[0], ticks[-1]], "nice": False},
        "axis": {
            "title": "size",
            "labelExpr": BYTES,
            "values": ticks,
        },
    }
    order = ["ours", "other"]
    shape = {**whose, "scale": {"domain": order, "range": ["circle", "square"]}}
    colour = {**whose, "scale": {"domain": order, "range": ["var(--c1)", "var(--c2)"]}}
    return [
        {
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {"x": x, "shape": shape, "color": colour, "description": {"field": "said"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 10, "color": INK},
            "encoding": {"x": x, "text": {"field": "name"}},
        },
    ]


def ladder(values: Iterable[float]) -> list[float]:
    """Return round numbers from below the smallest to above the largest: 0.5, 1, 2, 5, 10, 20 and so on."""
    found = list(values)
    rungs = [float(f"{digit}e{power}") for power in range(-3, 13) for digit in (1, 2, 5)]
    below = max([it for it in rungs if it < min(found)], default=rungs[0])
    above = min([it for it in rungs if it > max(found)], default=rungs[-1])
    return [it for it in rungs if below <= it <= above]


def _table(costs: tuple[Cost, ...]) -> Table:
    def number(value: float | None, digits: int) -> str:
        return "not measured" if value is None else f"{value:,.{digits}f}"

    return Table(
        caption="What one start costs",
        head=("program", "bytes", "CPU, ms", "memory, kB", "measured"),
        rows=[
            (
                it.name,
                "not measured" if it.size is None else exact(it.size),
                number(it.cpu, 2),
                number(it.memory, 0),
                moment(it.when),
            )
            for it in costs
        ],
    )
