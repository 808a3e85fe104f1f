"""Text out of untrusted bytes that is safe to show."""


def printable(raw: bytes | str) -> str:
    """Return ``raw`` on one line, with every unprintable character escaped.

    Names inside a hostile file may hold line breaks or terminal control codes: shown as they
    are, they could forge lines of a report.
    """
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    if text.isprintable():
        return text
    odd = {char for char in set(text) if not char.isprintable()}
    return text.translate(
        {ord(char): char.encode("unicode_escape").decode("ascii") for char in odd}
    )
