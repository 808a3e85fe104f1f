"""The tables of docs/figures.md: what `./inv bench --record` kept."""

from collections.abc import Mapping, Sequence
from typing import Any

from commands.markdown import markdown_table

Kept = Sequence[Mapping[str, Any]]


def bars(figures: Kept) -> str:
    """Every figure that has a bar, and whether it is met."""
    rows = [
        (
            figure["name"],
            *(_number(figure[key], figure["unit"]) for key in ("value", "must", "aim")),
            figure["unit"],
            figure["bar"],
            figure["date"],
        )
        for figure in figures
        if figure["bar"]
    ]
    return markdown_table(("figure", "measured", "must", "aim", "unit", "bar", "date"), rows)


def programs(figures: Kept) -> str:
    """Programs by measures, as they were measured side by side."""
    placed = {(it["row"], it["column"]): it for it in figures if it["row"]}
    columns = list(dict.fromkeys(column for _, column in placed))

    def cell(row: str, column: str) -> str:
        figure = placed.get((row, column))
        return _number(figure["value"], figure["unit"]) if figure else "-"

    rows = [
        (row, *(cell(row, column) for column in columns))
        for row in dict.fromkeys(row for row, _ in placed)
    ]
    return markdown_table(("program", *columns), rows)


def machines(figures: Kept) -> str:
    """When and on what it was measured."""
    said = dict.fromkeys(f"{it['date']}: {it['machine']}." for it in figures)
    return "\n".join(f"- {line}" for line in said)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if unit in {"bytes", "kB", "count"} else f"{value:.2f}"
