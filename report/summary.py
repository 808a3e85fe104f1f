"""The same in Markdown, and short: for the summary of a CI run, or a merge request."""

import re
from collections.abc import Iterable, Sequence

from core.visible import visible_line
from report.chapters import chapters
from report.data import Report
from report.tiles import tiles
from report.words import change, exact, size

MOST = 200
"""Rows of a table."""


def summary(report: Report) -> str:
    """Return the page at a glance, what was refused, and the sizes."""
    lines = ["## What was built", ""]
    lines += _table(
        ("", "", ""), [(it.label, f"{it.state.sign}{it.value}", it.detail) for it in tiles(report)]
    )
    if report.trouble:
        lines += ["", "### Not delivered", ""]
        lines += [f"- ✗ **{_text(it.what)}**: {_text(it.name)}" for it in report.trouble]
    if report.plain:
        lines += ["", "### Sizes", "", *_sizes(report)]
    missing = [text for chapter in chapters(report) for text in chapter.missing]
    if missing:
        lines += ["", "<details><summary>What was not recorded</summary>", ""]
        lines += [*(f"- {_text(text)}" for text in missing), "", "</details>"]
    return "\n".join(lines)


def _sizes(report: Report) -> list[str]:
    head = ["product", "release", "target", "plain", "packed", "gzipped"]
    head += ["difference"] if report.against else []
    found = []
    for file in report.plain:
        packed = report.packed(file)
        row = [file.product, file.release, file.target, exact(file.size)]
        row += [exact(packed.size) if packed else "—", exact(file.gzip)]
        if report.against:
            row += [change(file.size, file.before.size) if file.before else "new"]
        found.append(row)
    lines = _table(head, found[:MOST])
    if len(found) > MOST:
        lines += ["", f"and {len(found) - MOST} more"]
    total = sum(file.size for file in report.files)
    words = f"All {len(report.files)} files: {exact(total)} bytes ({size(total)})."
    return [
        *lines,
        "",
        words + (f" Compared with {_text(report.against)}." if report.against else ""),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([_text(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(text: str) -> str:
    """A text that is no markup: neither Markdown's nor HTML's."""
    text = visible_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!@$])", r"\\\1", text)
