"""What one start costs, out of what a bench measured: programs by bytes, CPU and memory, the peers' beside ours."""

from collections.abc import Collection, Iterable, Iterator

from records.bench import BenchFigure
from report.data import Cost

SIZE, CPU, MEMORY = "plain", "HTTP, ms", "HTTP, kB"
"""Columns of the bench's table of programs."""
ANCHORS, PACKED = "anchors", "packed"
PACKED_ROW = ", packed"
"""How the row of a packed form ends; its bytes stand in the row of the plain one."""


def costs(figures: Iterable[BenchFigure], products: Collection[str]) -> Iterator[Cost]:
    """Yield every program of which size or CPU was measured, ours first."""
    found: dict[str, dict[str, BenchFigure]] = {}
    for figure in figures:
        if figure.row and figure.value is not None:
            found.setdefault(figure.row, {})[figure.column] = figure
    for name in sorted(found, key=lambda name: (not _ours(name, products), name)):
        row = found[name]
        base = found.get(name.removesuffix(PACKED_ROW), {})
        if not row.keys() & {SIZE, CPU}:
            continue
        size, cpu, memory = (_value(row, column) for column in (SIZE, CPU, MEMORY))
        size = _value(base, PACKED) if name.endswith(PACKED_ROW) else size
        anchors = (_value(row, ANCHORS) or 0) if SIZE in row else 0
        newest = max(row.values(), key=lambda it: it.when)
        yield Cost(
            name=name,
            ours=_ours(name, products),
            size=None if size is None else round(size + anchors),
            cpu=cpu,
            memory=memory,
            when=newest.when,
            machine=newest.machine,
        )


def _ours(name: str, products: Collection[str]) -> bool:
    return name.partition(" ")[0].rstrip(",") in products


def _value(row: dict[str, BenchFigure], column: str) -> float | None:
    return row[column].value if column in row else None
