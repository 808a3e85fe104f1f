"""How big is each file, in each form, beside its budget and the release before?"""

from report.chart import BYTES, INK, SOFT, Chapter, Drawing, Legend, Table, names, rows, vega_lite
from report.data import BuiltFile, Report
from report.words import change, count, exact, percent, size

WIDTH = 700
NARROW = 260
"""Pixels, where two products stand side by side."""
FEW_TARGETS = 3
"""With more of them two products stand side by side."""
ROW = 26
"""Pixels: so high is a target's row."""


def sizes(report: Report) -> Chapter:
    """Bytes of every file, by product and target."""
    plain = report.plain
    notes = []
    missing = []
    if report.against:
        known = sum(file.before is not None for file in report.files)
        notes.append(
            f"Compared with {report.against}, which has {known} of these "
            f"{count(len(report.files), 'file')}."
        )
    else:
        missing.append(
            "Not compared with an earlier release: name one with --against MANIFEST, DIR or oci://…"
        )
    if not any(file.budget for file in plain):
        missing.append("Budgets were not recorded: build again. Only linux/amd64 has them.")
    if not any(file.gzip for file in plain):
        missing.append("Sizes after gzip were not recorded: build again.")
    return Chapter(
        id="sizes",
        title="Sizes",
        says="Bytes of each program as it was linked (plain), as UPX packed it, and after gzip -9, which is what a "
        "layer of an image or a download takes.",
        drawings=[_drawing(report)] if plain else [],
        legend=_legend(report) if plain else [],
        tables=[_table(report)] if report.files else [],
        notes=notes,
        missing=missing if plain else ["Nothing was delivered, so there are no sizes."],
    )


def _legend(report: Report) -> list[Legend]:
    found = [Legend(sign="sign-bar", means="plain")]
    if any(file.packed for file in report.files):
        found.append(Legend(sign="sign-thin", means="packed by UPX"))
    if any(file.gzip for file in report.plain):
        found.append(Legend(sign="sign-dot", means="plain, after gzip"))
    if any(file.budget for file in report.plain):
        found.append(Legend(sign="sign-tick", means="budget: more would be refused"))
    if any(file.before for file in report.plain):
        found.append(Legend(sign="sign-diamond", means="plain, before"))
    return found


def _drawing(report: Report) -> Drawing:
    several = len(report.targets) > 1
    narrow = len(report.targets) > FEW_TARGETS
    values = [_value(report, file, several=several) for file in _sorted(report)]
    x = {"field": "size", "type": "quantitative", "title": None, "axis": {"labelExpr": BYTES}}
    y = names("label", (str(value["label"]) for value in values), labelPadding=6)

    def layer(mark: dict[str, object], field: str, **more: object) -> dict[str, object]:
        where = {"transform": [{"filter": f"isValid(datum.{field})"}], "mark": mark}
        told = {"description": {"field": f"{field}_said"}}
        return {**where, "encoding": {"x": {**x, "field": field}, **told, **more}}

    thin = {"type": "bar", "height": 6, "color": "var(--c2)"}
    diamond = {
        "type": "point",
        "shape": "diamond",
        "size": 90,
        "stroke": INK,
        "fill": "var(--page)",
        "strokeWidth": 1.5,
    }
    layers = [
        layer({"type": "bar", "height": 18, "color": "var(--c1)", "cornerRadiusEnd": 2}, "size"),
        layer(thin, "packed"),
        layer(
            {
                "type": "point",
                "filled": True,
                "size": 46,
                "color": "var(--c3)",
                "stroke": "var(--page)",
            },
            "gzip",
        ),
        layer({"type": "tick", "thickness": 3, "size": 22, "color": "var(--bad)"}, "budget"),
        layer(diamond, "before"),
        {
            "mark": {"type": "text", "align": "left", "dx": 11, "color": SOFT},
            "encoding": {
                "x": {**x, "field": "end"},
                "text": {"field": "text"},
            },
        },
    ]
    inner = {
        "width": NARROW if narrow else WIDTH,
        "height": {"step": ROW},
        "encoding": {"y": y},
        "layer": layers,
    }
    if several:
        spec = vega_lite(
            data=rows(values),
            facet={
                "field": "product",
                "type": "nominal",
                "title": None,
                "sort": list(dict.fromkeys(str(value["product"]) for value in values)),
                "header": {"labelAnchor": "start", "labelPadding": 4},
            },
            columns=2 if narrow else 1,
            resolve={"scale": {"y": "independent"}, "axis": {"x": "independent"}},
            spec=inner,
            spacing={"row": 22, "column": 30},
        )
    else:
        spec = vega_lite(data=rows(values), **inner)
    smallest = min(report.plain, key=lambda it: it.size)
    largest = max(report.plain, key=lambda it: it.size)
    return Drawing(
        label=f"Bars of {count(len(values), 'program')}: from {smallest.product} for {smallest.target} with "
        f"{size(smallest.size)} to {largest.product} for {largest.target} with {size(largest.size)}, plain.",
        spec=spec,
    )


def _sorted(report: Report) -> list[BuiltFile]:
    products, targets = report.products, report.targets
    return sorted(
        report.plain, key=lambda it: (products.index(it.product), targets.index(it.target))
    )


def _value(report: Report, file: BuiltFile, *, several: bool) -> dict[str, object]:
    packed = report.packed(file)
    ends = [file.size, file.budget or 0, file.before.size if file.before else 0]
    name = f"{file.product} {file.release}, {file.target}"
    text = size(file.size)
    if file.before:
        text += (
            ", unchanged"
            if not file.change
            else f", {percent(file.size, file.before.size)} ({file.change:+,} bytes)"
        )
    value: dict[str, object] = {
        "product": f"{file.product} {file.release}",
        "label": file.target if several else f"{file.product} {file.release}",
        "size": file.size,
        "size_said": f"{name}: {exact(file.size)} bytes plain",
        "end": max(ends),
        "text": text,
    }
    if packed:
        value |= {"packed": packed.size, "packed_said": f"{name}: {exact(packed.size)} packed"}
    if file.gzip is not None:
        value |= {"gzip": file.gzip, "gzip_said": f"{name}: {exact(file.gzip)} after gzip"}
    if file.budget is not None:
        value |= {
            "budget": file.budget,
            "budget_said": f"{name}: the budget is {exact(file.budget)}",
        }
    if file.before:
        value |= {
            "before": file.before.size,
            "before_said": f"{name}: {exact(file.before.size)} in {file.before.release}",
        }
    return value


def _table(report: Report) -> Table:
    compared = bool(report.against)
    head = ["product", "release", "target", "form", "bytes", "gzipped", "budget", "trust anchors"]
    head += ["before", "difference"] if compared else []
    found = []
    for plain in _sorted(report):
        packed = report.packed(plain)
        for file in [plain, packed] if packed else [plain]:
            budget = exact(file.budget) if file.budget is not None else "none"
            cells = [
                file.product,
                file.release,
                file.target,
                "upx" if file.packed else "plain",
                exact(file.size),
                exact(file.gzip),
                "not recorded" if file.anchors is None and file.budget is None else budget,
                exact(file.anchors),
            ]
            if compared:
                cells += (
                    [exact(file.before.size), change(file.size, file.before.size)]
                    if file.before
                    else ["none", "new"]
                )
            found.append(cells)
    return Table(caption="Bytes of each file", head=head, rows=found)
