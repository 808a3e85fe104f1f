"""Which product is there for which target, and how far is each from what is usual for it?"""

from statistics import median

from report.chart import INK, Chapter, Drawing, Legend, Table, names, rows, vega_lite
from report.data import Report
from report.words import count, exact, percent, size

CELL = (96, 44)
"""Pixels."""

STEPS = (-0.15, -0.05, 0.05, 0.15)
"""Distances from the median at which the shade changes."""

SHADES = ("far less", "less", "usual", "more", "far more", "refused", "none")
COLOURS = tuple(f"var(--d{number})" for number in range(len(SHADES)))
MEANINGS = (
    "more than 15 % below the product's median",
    "5 to 15 % below",
    "within 5 % of it",
    "5 to 15 % above",
    "more than 15 % above",
)


def matrix(report: Report) -> Chapter:
    """Product by target."""
    if not report.products:
        return Chapter(
            id="matrix", title="Products by target", says="", missing=["Nothing was built."]
        )
    values = _values(report)
    good = sum(value["shade"] not in {"refused", "none"} for value in values)
    refused = sum(value["shade"] == "refused" for value in values)
    gaps = len(values) - good - refused
    return Chapter(
        id="matrix",
        title="Products by target",
        says="Bytes of each plain file, and how far it is from the median of its product over all targets. "
        "Instruction sets differ in density; a cell that stands out more than its column does is worth a look.",
        drawings=[
            Drawing(
                label=f"A grid of {count(len(report.products), 'product')} and {count(len(report.targets), 'target')}: "
                f"{good} built, {refused} refused or failed, {gaps} not built.",
                spec=_spec(report, values),
            )
        ],
        legend=[
            Legend(sign=f"sign-cell sign-d{number}", means=meaning)
            for number, meaning in enumerate(MEANINGS)
        ]
        + [
            Legend(sign="sign-cell sign-d5", means="✗ refused or failed"),
            Legend(sign="sign-cell sign-d6", means="— not built in these artifacts"),
        ],
        tables=[
            Table(
                caption="Bytes of plain files by product and target",
                head=("product", *report.targets),
                rows=[
                    (
                        product,
                        *(str(it["cell"]) for it in values if it["product"] == product),
                    )
                    for product in report.products
                ],
            )
        ],
    )


def _values(report: Report) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    files = {(file.product, file.target): file for file in report.plain}
    bad = {(it.product, it.target): it.what for it in report.trouble}
    for product in report.products:
        sizes = [file.size for file in report.plain if file.product == product]
        usual = median(sizes) if sizes else 0
        for target in report.targets:
            value: dict[str, object] = {"product": product, "target": target}
            file = files.get((product, target))
            if (product, target) in bad:
                what = bad[product, target]
                value |= {"shade": "refused", "first": "✗", "second": what, "cell": f"✗ {what}"}
            elif file is None:
                value |= {"shade": "none", "first": "—", "second": "not built", "cell": "not built"}
            else:
                away = (file.size - usual) / usual if usual else 0.0
                shade = SHADES[sum(away >= step for step in STEPS)]
                said = percent(file.size, usual) if len(sizes) > 1 else "the only one"
                value |= {"shade": shade, "first": size(file.size), "second": said}
                value |= {"cell": f"{exact(file.size)} ({said})"}
            value["said"] = f"{product}, {target}: {value['cell']}"
            found.append(value)
    return found


def _spec(report: Report, values: list[dict[str, object]]) -> dict[str, object]:
    axis = {
        "domain": False,
        "ticks": False,
        "title": None,
        "labelColor": INK,
        "orient": "top",
        "labelAngle": 0,
    }
    x = {"field": "target", "type": "nominal", "sort": None, "axis": axis}
    y = names("product", report.products, labelPadding=8)
    shade = {
        "field": "shade",
        "type": "nominal",
        "scale": {"domain": list(SHADES), "range": list(COLOURS)},
        "legend": None,
    }

    def text(field: str, dy: int, more: dict[str, object]) -> dict[str, object]:
        return {
            "mark": {"type": "text", "dy": dy, **more},
            "encoding": {"text": {"field": field}},
        }

    return vega_lite(
        data=rows(values),
        width={"step": CELL[0]},
        height={"step": CELL[1]},
        encoding={"x": x, "y": y},
        layer=[
            {
                "mark": {
                    "type": "rect",
                    "stroke": "var(--page)",
                    "strokeWidth": 3,
                    "cornerRadius": 5,
                },
                "encoding": {"color": shade, "description": {"field": "said"}},
            },
            text("first", -7, {"fontWeight": "bold"}),
            text("second", 9, {"fontSize": 11}),
        ],
    )
