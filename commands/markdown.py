"""Tables as Markdown has them."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with this head."""
    lines = [markdown_row(head), f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *map(markdown_row, rows)])


def markdown_row(cells: Sequence[str]) -> str:
    """Return one line of a table; a bar in a cell is no border."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
