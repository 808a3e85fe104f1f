"""What went in: which version, under which licence, from where, and who signed it?"""

from report.chart import Chapter, Drawing, Table, names, rows, vega_lite
from report.data import Part, Report
from report.words import age, count


def parts(report: Report) -> Chapter:
    """Every source, and its age."""
    dated = sorted((it for it in report.parts if it.date), key=lambda it: it.date, reverse=True)
    undated = [f"{it.name} {it.version}" for it in report.parts if not it.date]
    missing = []
    if not report.parts:
        missing.append("Nothing was delivered, so nothing is known to be in it.")
    elif undated:
        missing.append(
            f"No recipe of today pins these, so their dates are unknown: {', '.join(undated)}."
        )
    return Chapter(
        id="parts",
        title="Parts",
        says="Every source that went into the files, tools included, by the day of its release. Signatures are "
        "checked when a version is pinned; from then on its sha256 counts.",
        drawings=[_drawing(dated, report.made)] if dated else [],
        tables=[_table(report)] if report.parts else [],
        missing=missing,
    )


def _drawing(dated: list[Part], today: str) -> Drawing:
    values = [
        {
            "part": f"{it.name} {it.version}",
            "date": it.date,
            "text": f"{it.date}, {count(days, 'day')} ago"
            if (days := age(it.date, today)) is not None
            else it.date,
        }
        for it in dated
    ]
    return Drawing(
        label=f"Release days of {count(len(dated), 'source')}: the newest is {dated[0].name} of {dated[0].date}, "
        f"the oldest {dated[-1].name} of {dated[-1].date}.",
        spec=vega_lite(
            data=rows(values),
            width=620,
            height={"step": 24},
            encoding={
                "y": names("part", (str(value["part"]) for value in values), grid=True),
                "x": {
                    "field": "date",
                    "type": "temporal",
                    "timeUnit": "utcyearmonthdate",
                    "title": "day of the release",
                    "axis": {"format": "%b %Y", "labelOverlap": True, "tickCount": 7},
                },
            },
            layer=[
                {
                    "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                    "encoding": {
                        "color": {"value": "var(--c1)"},
                        "description": {"field": "text"},
                    },
                },
                {
                    "mark": {"type": "text", "align": "left", "dx": 9, "color": "var(--soft)"},
                    "encoding": {"text": {"field": "text"}},
                },
            ],
        ),
    )


def _table(report: Report) -> Table:
    return Table(
        caption="Sources of the files",
        head=("part", "version", "released", "licence", "in", "signature", "came from", "sha256"),
        rows=[
            (
                it.name,
                it.version,
                it.date or "unknown",
                it.licence,
                count(it.files, "file"),
                it.signature,
                it.url or "this project",
                it.sha256,
            )
            for it in report.parts
        ],
    )
