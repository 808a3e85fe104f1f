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


def show(figures: Sequence[Figure]) -> str:
    """The figures as a table for people."""

    def number(value: float | None, unit: str) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f}" if unit in {"bytes", "kB"} else f"{value:.2f}"

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
