"""Rows as aligned columns of plain text."""

from collections.abc import Iterable, Sequence

from core.visible import visible_line


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns whose cells all look like numbers are aligned to the right."""
    body = [[visible_line(cell) for cell in row] for row in rows]
    lines = [list(head), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = [
        all(line[column].replace(",", "").replace(".", "").isdecimal() for line in body)
        for column in range(len(head))
    ]

    def show(line: Sequence[str]) -> str:
        cells = zip(line, widths, right, strict=True)
        padded = (cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in cells)
        return "  ".join(padded).rstrip()

    return "\n".join([show(head), "  ".join("-" * width for width in widths), *map(show, body)])
