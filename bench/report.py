"""What was measured beside the figures it must and should reach, as a table."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from console.table import table


@dataclass(frozen=True)
class Figure:
    """One measured number with its bars. ``must`` and ``aim`` are upper bounds; ``value`` None: not measured."""

    name: str
    unit: str
    value: float | None
    _: KW_ONLY
    must: float | None = None
    aim: float | None = None
    reference: str = ""
    """What was measured before this project, elsewhere: a hint, not a bar."""
    why: str = ""
    """Why it was not measured."""
    row: str = ""
    column: str = ""
    """Its place in the table that shows programs side by side; empty: it has none."""

    @property
    def state(self) -> str:
        """What the closing column says."""
        if self.value is None:
            return f"not measured: {self.why}"
        if self.must is not None and self.value > self.must:
            return "MISSED"
        if self.aim is not None and self.value > self.aim:
            return "ok, aim missed" if self.must is not None else "aim missed"
        return "ok" if self.must is not None or self.aim is not None else ""

    @property
    def bar(self) -> str:
        """Whether the bar is met; empty: there is none."""
        if self.value is None or self.must is None:
            return ""
        return "missed" if self.value > self.must else "met"


def number(value: float | None, unit: str) -> str:
    """A value as people read it; a dash when there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if unit in {"bytes", "kB", "count"} else f"{value:.2f}"


def side_by_side(figures: Sequence[Figure]) -> str:
    """Programs by measures, each value with its ratio to the first of its column. Empty: no figure has a place."""
    placed = {(figure.row, figure.column): figure for figure in figures if figure.row}
    columns = list(dict.fromkeys(column for _, column in placed))
    first: dict[str, float] = {}
    for (_, column), figure in placed.items():
        if figure.value:
            first.setdefault(column, figure.value)

    def cell(row: str, column: str) -> str:
        figure = placed.get((row, column))
        if figure is None or figure.value is None:
            return "-"
        said = number(figure.value, figure.unit)
        return f"{said} ({figure.value / first[column]:.2f}x)" if figure.value else said

    rows = [
        (row, *(cell(row, column) for column in columns))
        for row in dict.fromkeys(row for row, _ in placed)
    ]
    return table(("program", *columns), rows) if rows else ""


def bars(figures: Sequence[Figure]) -> str:
    """Every bar, and whether it is met. Empty: none was measured."""
    rows = [
        (
            figure.name,
            *(number(value, figure.unit) for value in (figure.value, figure.must, figure.aim)),
            figure.unit,
            figure.bar,
        )
        for figure in figures
        if figure.bar
    ]
    return table(("figure", "measured", "must", "aim", "unit", "bar"), rows) if rows else ""


def show(figures: Sequence[Figure]) -> str:
    """The figures as a table for people."""
    rows = [
        (
            figure.name,
            number(figure.value, figure.unit),
            figure.unit,
            number(figure.must, figure.unit),
            number(figure.aim, figure.unit),
            figure.state,
            figure.reference,
        )
        for figure in figures
    ]
    return table(("figure", "measured", "unit", "must", "aim", "state", "reference"), rows)
