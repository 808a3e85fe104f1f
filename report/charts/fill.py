"""What fills each program: libraries, their objects, and the largest functions in them."""

from collections.abc import Iterator, Sequence
from typing import Any

from report.chart import (
    BYTES,
    SOFT,
    VEGA,
    Chapter,
    Drawing,
    Legend,
    Table,
    names,
    rows,
    vega_lite,
)
from report.data import Fill, Piece, Report
from report.words import count, exact, size

SIZE = (1010, 430)
"""Pixels of one map."""
HEAD = 19
"""Pixels above what is in a library, for its name. Of the whole, which has no name, they are cut off."""
NARROWER = 0.85
"""How much of an area its name may take, for readers whose letters are wider than those that were measured."""
SMALLEST = 1 / 900
"""A part of a program: what is smaller is drawn as one with its like."""
COLOURS = 8
"""After so many libraries colours begin again: each library has its name on it."""


def fill(report: Report) -> Chapter:
    """One map for each product, for the target that comes first; the other targets as a table."""
    if not report.fill:
        return Chapter(
            id="fill",
            title="What fills it",
            says="",
            missing=[
                "Not recorded: what is in a program is read from its linker's map when it is built. Build again, with "
                "--rebuild if its bytes come out of the cache."
            ]
            if report.files
            else ["Nothing was delivered."],
        )
    drawn = shown(report)
    without = [
        file for file in report.plain if (file.product, file.target) not in _known(report.fill)
    ]
    missing = []
    if without:
        names = ", ".join(f"{it.product} for {it.target}" for it in without[:6])
        more = f" and {len(without) - 6} more" if len(without) > 6 else ""
        missing.append(f"Not recorded for {names}{more}.")
    return Chapter(
        id="fill",
        title="What fills it",
        says="Areas are bytes of the plain file. Inside of each library are its largest functions and data; what is "
        "too small to be drawn is one area. Link-time optimisation merges code across objects, so what no "
        "library can be said to own stands apart, with the reason in the table.",
        drawings=[
            drawing
            for it in drawn
            for drawing in (_drawing(it), *([_bars(it)] if it.checks else []))
        ],
        legend=[Legend(sign="sign-cell sign-none", means="owned by no library")],
        tables=[
            *(_libraries(it) for it in drawn),
            *(_checks(it) for it in drawn if it.checks),
            *([_by_target(report)] if len(_known(report.fill)) > len(drawn) else []),
        ],
        notes=list(dict.fromkeys(it.checks_note for it in drawn if it.checks_note)),
        missing=missing,
    )


def shown(report: Report) -> list[Fill]:
    """Of each product the record for the target that comes first."""
    found: dict[str, Fill] = {}
    targets = report.targets
    for it in sorted(report.fill, key=lambda it: targets.index(it.target)):
        found.setdefault(it.product, it)
    return [found[name] for name in report.products if name in found]


def _known(records: Sequence[Fill]) -> set[tuple[str, str]]:
    return {(it.product, it.target) for it in records}


def _drawing(record: Fill) -> Drawing:
    largest = record.libraries[0] if record.libraries else None
    unowned = sum(piece.size for piece in record.unowned)
    said = f", most of it {largest.name} with {size(largest.size)}" if largest else ""
    return Drawing(
        title=f"{record.product} {record.release} for {record.target}: {exact(record.size)} bytes",
        label=f"A map of the {exact(record.size)} bytes of {record.product}{said}; "
        f"{size(unowned)} belong to no library.",
        spec=_spec(record),
    )


def _bars(record: Fill) -> Drawing:
    values = [
        {
            "check": it.name,
            "size": it.size,
            "text": exact(it.size),
            "said": f"{it.name}: {exact(it.size)} bytes",
        }
        for it in sorted(record.checks, key=lambda it: -it.size)
    ]
    x = {"field": "size", "type": "quantitative", "title": None, "axis": {"labelExpr": BYTES}}
    return Drawing(
        title=f"{record.product}: bytes of each check, inside of the above",
        label=f"Bars of {count(len(values), 'check')}; the largest is {values[0]['check']} with "
        f"{values[0]['text']} bytes.",
        spec=vega_lite(
            data=rows(values),
            width=560,
            height={"step": 20},
            encoding={"y": names("check", (it.name for it in record.checks)), "x": x},
            layer=[
                {
                    "mark": {"type": "bar", "height": 13, "color": "var(--c1)"},
                    "encoding": {"description": {"field": "said"}},
                },
                {
                    "mark": {"type": "text", "align": "left", "dx": 6, "color": SOFT},
                    "encoding": {"text": {"field": "text"}},
                },
            ],
        ),
    )


def _nodes(record: Fill) -> Iterator[dict[str, object]]:
    """The tree, with what is too small merged: sizes still add up."""
    least = record.size * SMALLEST
    yield {"id": "0", "depth": 0}
    number = 0
    for place, library in enumerate(_merged(record.libraries, least, "library", "libraries")):
        number += 1
        top = str(number)
        group = {"id": top, "parent": "0", "depth": 1, "name": library.name}
        colour = f"var(--t{place % COLOURS})"
        yield {**group, "said": f"{library.name}: {exact(library.size)} bytes", "colour": colour}
        for leaf in _leaves(library, least):
            number += 1
            yield {
                "id": str(number),
                "parent": top,
                "depth": 2,
                "name": leaf.name,
                "size": leaf.size,
                "colour": colour,
                "said": f"{library.name}: {leaf.name}: {exact(leaf.size)} bytes"
                f"{', ' + leaf.note if leaf.note else ''}",
            }
    if record.unowned:
        number += 1
        top = str(number)
        total = sum(piece.size for piece in record.unowned)
        colour = "var(--tnone)"
        yield {
            "id": top,
            "parent": "0",
            "depth": 1,
            "name": "no library",
            "said": f"owned by no library: {exact(total)} bytes",
            "colour": colour,
        }
        for piece in _merged(record.unowned, least, "smaller kind", "smaller kinds"):
            number += 1
            yield {
                "id": str(number),
                "parent": top,
                "depth": 2,
                "name": piece.name,
                "size": piece.size,
                "colour": colour,
                "said": f"{piece.name}: {exact(piece.size)} bytes, owned by no library",
            }


def _leaves(library: Piece, least: float) -> list[Piece]:
    """The functions of all the library's objects that can be seen, and the rest of each object, or of all."""
    found: list[Piece] = []
    rest = 0
    for thing in library.pieces or (Piece(name=library.name, size=library.size),):
        large = [part for part in thing.pieces if part.size >= least]
        left = thing.size - sum(part.size for part in large)
        found += large
        if left >= least:
            name = f"rest of {thing.name}" if large else thing.name
            found.append(Piece(name=name, size=left))
        else:
            rest += left
    rest += library.size - sum(thing.size for thing in library.pieces) if library.pieces else 0
    return [*found, *([Piece(name="smaller ones", size=rest)] if rest else [])]


def _merged(pieces: Sequence[Piece], least: float, one: str, many: str) -> list[Piece]:
    large = [piece for piece in pieces if piece.size >= least]
    small = [piece for piece in pieces if piece.size < least and piece.size]
    if len(small) == 1:
        return [*large, *small]
    total = sum(piece.size for piece in small)
    return [*large, *([Piece(name=count(len(small), one, many), size=total)] if small else [])]


def _spec(record: Fill) -> dict[str, Any]:
    """https://vega.github.io/vega/docs/transforms/treemap/."""
    corner = {
        "x": {"field": "x0"},
        "y": {"signal": f"datum.y0 - {HEAD}"},
        "x2": {"field": "x1"},
        "y2": {"signal": f"datum.y1 - {HEAD}"},
    }

    def name_of(
        depth: int, size: int, dy: int, weight: str, least: tuple[int, int]
    ) -> dict[str, Any]:
        wide = "datum.x1 - datum.x0 - 8"
        seen = f"{wide} > {least[0]} && datum.y1 - datum.y0 > {least[1]}"
        return {
            "type": "text",
            "from": {"data": f"depth{depth}"},
            "interactive": False,
            "encode": {
                "update": {
                    "x": {"signal": "datum.x0 + 4"},
                    "y": {"signal": f"datum.y0 + {dy - HEAD}"},
                    "text": {"signal": f"{seen} ? datum.name : ''"},
                    "limit": {"signal": f"max(({wide}) * {NARROWER}, 1)"},
                    "fontSize": {"value": size},
                    "fontWeight": {"value": weight},
                    "fill": {"value": "var(--ink)"},
                    "baseline": {"value": "alphabetic"},
                }
            },
        }

    return {
        "$schema": VEGA,
        "width": SIZE[0],
        "height": SIZE[1],
        "padding": 2,
        "data": [
            {
                "name": "tree",
                "values": list(_nodes(record)),
                "transform": [
                    {"type": "stratify", "key": "id", "parentKey": "parent"},
                    {
                        "type": "treemap",
                        "field": "size",
                        "sort": {"field": "value", "order": "descending"},
                        "method": "squarify",
                        "ratio": 1.6,
                        "paddingInner": 1.5,
                        "paddingTop": HEAD,
                        "round": True,
                        "size": [SIZE[0], SIZE[1] + HEAD],
                    },
                ],
            },
            *(
                {
                    "name": f"depth{depth}",
                    "source": "tree",
                    "transform": [{"type": "filter", "expr": f"datum.depth === {depth}"}],
                }
                for depth in (1, 2)
            ),
        ],
        "marks": [
            {
                "type": "rect",
                "name": "libraries",
                "from": {"data": "depth1"},
                "encode": {
                    "update": {
                        **corner,
                        "fill": {"field": "colour"},
                        "description": {"field": "said"},
                    }
                },
            },
            {
                "type": "rect",
                "name": "functions",
                "from": {"data": "depth2"},
                "encode": {
                    "update": {
                        **corner,
                        "fill": {"value": "var(--page)"},
                        "fillOpacity": {"value": 0.45},
                        "stroke": {"field": "colour"},
                        "description": {"field": "said"},
                    }
                },
            },
            name_of(1, 12, 14, "bold", (24, 14)),
            name_of(2, 11, 14, "normal", (36, 17)),
        ],
    }


def _libraries(record: Fill) -> Table:
    def part(piece: Piece) -> str:
        return f"{100 * piece.size / record.size:.1f}" if record.size else "0"

    def row(piece: Piece, note: str) -> tuple[str, ...]:
        return piece.name, exact(piece.size), part(piece), note

    return Table(
        caption=f"What fills {record.product} for {record.target}",
        head=("library", "bytes", "%", "the largest in it, or why nobody owns it"),
        rows=[
            *(row(it, _largest(it)) for it in record.libraries),
            *(row(it, it.note) for it in record.unowned),
            ("the file", exact(record.size), "100.0", ""),
        ],
    )


def _largest(library: Piece) -> str:
    leaves = [leaf for thing in library.pieces for leaf in (thing.pieces or (thing,))]
    largest = sorted(leaves, key=lambda leaf: -leaf.size)[:4]
    return ", ".join(f"{leaf.name} {exact(leaf.size)}" for leaf in largest)


def _checks(record: Fill) -> Table:
    return Table(
        caption=f"Bytes of each check of {record.product} for {record.target}, inside of the above",
        head=("check", "bytes"),
        rows=[(it.name, exact(it.size)) for it in record.checks],
    )


def _by_target(report: Report) -> Table:
    targets = [name for name in report.targets if any(it.target == name for it in report.fill)]
    cells: dict[tuple[str, str], dict[str, int]] = {}
    for record in report.fill:
        for piece in (*record.libraries, *record.unowned):
            cells.setdefault((record.product, piece.name), {})[record.target] = piece.size
    order = {name: place for place, name in enumerate(report.products)}
    return Table(
        caption="Bytes of each library, by target",
        head=("product", "library", *targets),
        rows=[
            (product, name, *(exact(sizes[it]) if it in sizes else "—" for it in targets))
            for (product, name), sizes in sorted(
                cells.items(), key=lambda it: (order[it[0][0]], -max(it[1].values()))
            )
        ],
    )
