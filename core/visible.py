"""Makes what servers, logs and file names say fit for a terminal: nothing in it is obeyed, or hidden."""


def visible(text: str) -> str:
    """Return text whose only control character is the newline; all others are shown as Python writes them.

    That is what has no glyph of its own: escapes and other control characters, what turns the direction of writing,
    what takes no room, halves of surrogate pairs, and all blanks but the common one. Changes nothing a second time.
    """
    return "\n".join(map(visible_line, text.split("\n")))


def visible_line(text: str) -> str:
    """As `visible`, and on one line."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(shown)
