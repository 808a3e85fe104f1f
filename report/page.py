"""The page: one HTML file that needs nothing beside it, and in which nothing runs."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from core.visible import visible
from report.chapters import chapters
from report.chart import Chapter, Drawing, Table
from report.data import Report
from report.draw import Render, draw
from report.tiles import Tile, tiles
from report.words import moment

STYLE = Path(__file__).with_name("page.css")
DATA = "report-data"
"""The id of the block that has all data as JSON."""

NUMBER = re.compile(r"[+-]?[\d,]+(\.\d+)?( \([^()]*\))?|not recorded|none|new|not built|—")

Child = ET.Element | str | None


def page(report: Report, render: Render | None) -> bytes:
    """Return the page; without ``render`` its tables alone. Raises EngineError when a chart cannot be drawn."""
    style = "\n" + STYLE.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    found = chapters(report)
    body = tag(
        "body",
        tag("a", "Skip to the figures", href="#figures", class_="skip"),
        tag(
            "header",
            tag("h1", "What was built"),
            tag("p", _lead(report), class_="lead"),
            tag(
                "nav",
                tag("ul", *(tag("li", tag("a", it.title, href=f"#{it.id}")) for it in found)),
                aria_label="Chapters",
            ),
        ),
        tag(
            "main",
            tag(
                "section",
                tag("h2", "At a glance", class_="unseen"),
                tag("ul", *(_tile(it) for it in tiles(report)), class_="tiles"),
                _troubles(report),
                id="tiles",
            ),
            *(_chapter(it, render) for it in found),
            id="figures",
        ),
        tag(
            "footer",
            tag(
                "p",
                f"Made by ./inv report at {moment(report.made)}. Nothing on this page runs or is loaded. All of its "
                "data stand in it once more as JSON, in the element ",
                tag("code", f"#{DATA}"),
                "; see docs/report.md.",
            ),
        ),
    )
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>What was built</title>\n"
        f"<style>{style}</style>\n"
    )
    html = ET.tostring(body, encoding="unicode", method="html")
    block = f'<script type="application/json" id="{DATA}">{inert(report.as_dict())}</script>'
    whole = html.removesuffix("</body>") + f"{block}\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}</head>\n{whole}\n</html>\n'.encode()


def inert(value: object) -> str:
    """Return JSON that ends no element it stands in, and begins none."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def tag(name: str, *children: Child, class_: str = "", **attributes: str) -> ET.Element:
    """Return an element: whatever its children and attributes say is text in it."""
    element = ET.Element(name, {"class": class_} if class_ else {})
    for key, value in attributes.items():
        element.set(key.replace("_", "-"), visible(value))
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, str):
            text = visible(child)
            if last is None:
                element.text = (element.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        elif child is not None:
            element.append(child)
            last = child
    return element


def _lead(report: Report) -> str:
    targets = len(report.targets)
    words = (
        f"{len(report.products)} products for {targets} {'target' if targets == 1 else 'targets'}"
    )
    words = f"{len(report.files)} files of {words}" if report.files else "Nothing was delivered"
    return f"{words}, as of {moment(report.made)}."


def _tile(tile: Tile) -> ET.Element:
    return tag(
        "li",
        tag("span", tile.label, class_="label"),
        tag(
            "strong",
            tag("span", tile.state.sign, class_="sign") if tile.state.sign else None,
            tile.value,
        ),
        tag("span", tile.detail, class_="detail"),
        class_=f"tile {tile.state}",
    )


def _troubles(report: Report) -> ET.Element | None:
    if not report.trouble:
        return None
    lines = (tag("li", tag("strong", f"✗ {it.what}: "), it.name) for it in report.trouble)
    return tag(
        "div",
        tag("h3", "Not delivered in the newest run"),
        tag("ul", *lines),
        class_="trouble",
    )


def _chapter(chapter: Chapter, render: Render | None) -> ET.Element:
    drawn: list[Child] = []
    if render:
        drawn += [_drawing(it, render) for it in chapter.drawings]
    return tag(
        "section",
        tag("h2", chapter.title),
        tag("p", chapter.says, class_="says") if chapter.says else None,
        _legend(chapter) if drawn and chapter.legend else None,
        *drawn,
        *(tag("p", text, class_="note") for text in chapter.notes),
        *(tag("p", text, class_="missing") for text in chapter.missing),
        _tables(chapter.tables, opened=not drawn),
        id=chapter.id,
    )


def _legend(chapter: Chapter) -> ET.Element:
    entries = (
        tag("li", tag("span", class_=f"key {it.sign}", aria_hidden="true"), it.means)
        for it in chapter.legend
    )
    return tag("ul", *entries, class_="legend", aria_label=f"Legend of: {chapter.title}")


def _drawing(drawing: Drawing, render: Render) -> ET.Element:
    svg = draw(drawing, render)
    return tag(
        "figure",
        tag("figcaption", drawing.title) if drawing.title else None,
        _scrolling(svg, drawing.title or drawing.label),
    )


def _scrolling(inner: ET.Element, label: str) -> ET.Element:
    """What may be wider than a small screen: it scrolls by itself, by the keyboard too."""
    return tag("div", inner, class_="scroll", tabindex="0", role="group", aria_label=label)


def _tables(tables: Sequence[Table], *, opened: bool) -> ET.Element | None:
    if not tables:
        return None
    details = tag(
        "details",
        tag("summary", "The same as a table" if len(tables) == 1 else "The same as tables"),
    )
    details.extend(_scrolling(_table(it), it.caption) for it in tables)
    if opened:
        details.set("open", "open")
    return details


def _table(table: Table) -> ET.Element:
    right = [
        bool(table.rows) and all(NUMBER.fullmatch(row[place]) for row in table.rows)
        for place in range(len(table.head))
    ]

    def line(cells: Iterable[str], name: str, **more: Any) -> ET.Element:
        found = (
            tag(
                "th" if first and name == "td" else name,
                cell,
                class_="number" if flush else "",
                **(more or ({"scope": "row"} if first else {})),
            )
            for cell, flush, first in zip(cells, right, [True, *[False] * len(right)], strict=False)
        )
        return tag("tr", *found)

    return tag(
        "table",
        tag("caption", table.caption),
        tag("thead", line(table.head, "th", scope="col")),
        tag("tbody", *(line(row, "td") for row in table.rows)),
    )
