"""`artifacts/bench.json`: the last figure of each name that ``inv bench`` measured on this machine."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from records.store import flag, moment, number, read_record, rows, text, write_record

VERSION: Final = 1
NAME: Final = "bench.json"


@dataclass(frozen=True, kw_only=True)
class BenchFigure:
    """One number, with the bounds that it is held to."""

    name: str
    unit: str
    value: float | None
    """None: not measured, and ``why`` says why."""
    must: float | None
    aim: float | None
    state: str
    bar: str
    """``met``, ``missed``, or empty: there is none."""
    reference: str
    why: str
    row: str
    column: str
    """Its place in the table that shows programs side by side; empty: it has none."""
    when: str
    """In UTC, as ``2026-11-28T12:00:00Z``."""
    machine: str
    quick: bool
    """It is of a bench of a minute: few rounds."""


def remember_bench(artifacts: Path, figures: Iterable[BenchFigure]) -> None:
    """Put figures in the place of the older ones of the same names; what was not measured now stays as it was.

    Raises OSError, and RecipeError for a damaged record.
    """
    kept = {figure.name: figure for figure in read_bench(artifacts)}
    for figure in figures:
        if figure.value is not None or figure.name not in kept or kept[figure.name].value is None:
            kept[figure.name] = figure
    table = {"version": VERSION, "figures": [asdict(figure) for figure in kept.values()]}
    write_record(artifacts / NAME, table)


def read_bench(artifacts: Path) -> tuple[BenchFigure, ...]:
    """Return all figures; none: not recorded. Raises RecipeError for a damaged record."""
    return read_record(artifacts / NAME, VERSION, _figures) or ()


def _figures(table: dict[str, Any]) -> tuple[BenchFigure, ...]:
    return tuple(
        BenchFigure(
            name=text(row["name"], "name"),
            unit=text(row["unit"], "unit"),
            value=number(row["value"], "value"),
            must=number(row["must"], "must"),
            aim=number(row["aim"], "aim"),
            state=text(row["state"], "state"),
            bar=text(row["bar"], "bar"),
            reference=text(row["reference"], "reference"),
            why=text(row["why"], "why"),
            row=text(row["row"], "row"),
            column=text(row["column"], "column"),
            when=moment(row["when"], "when"),
            machine=text(row["machine"], "machine"),
            quick=flag(row["quick"], "quick"),
        )
        for row in rows(table["figures"], "figures")
    )
