r"""Conditions on a JSON text, as --json takes them.

    PATH=VALUE  PATH!=VALUE  PATH<NUMBER  PATH<=NUMBER  PATH>NUMBER  PATH>=NUMBER  PATH in A,B  PATH exists
    any PATH=VALUE  all PATH=VALUE  length PATH=NUMBER

A path is keys and indices with dots between them; with `any` and `all`, one of them is `*`, which is every one. Where a
space stands before the operator, spaces behind it and at the end mean nothing. A backslash takes the meaning of what
follows it in a path, and of a comma in a list.
"""

from __future__ import annotations

from probe.errors import Usage
from probe.number import is_json_number

QUANTIFIERS = ("any", "all", "length")
COMPARISONS = ("<", "<=", ">", ">=")
OPERATORS = (b"!=", b"<=", b">=", b"=", b"<", b">", b" in ")
EXISTS = b" exists"
ESCAPED = b".=!<>*\\ "
LONGEST_NUMBER = 400  # a longer one is equal only when it is written the same


class Condition:
    """One condition, in parts."""

    def __init__(
        self,
        quantifier: str,
        path: list[bytes],
        star: int,
        operator: str,
        values: list[bytes],
        shown: bytes,
        wanted: bytes,
    ) -> None:
        self.quantifier = quantifier
        self.path = path
        self.star = star  # the index of the part that is "*", -1 when there is none
        self.operator = operator
        self.values = values
        self.shown = shown  # what stands before the operator, for messages
        self.wanted = wanted  # and from the operator on, without "="


def parse_condition(text: bytes) -> Condition:
    """Read a condition; raises Usage, which quotes nothing of it."""
    text = text.lstrip(b" ")
    rest, quantifier = text, ""
    for word in QUANTIFIERS:
        path = rest[len(word) :].lstrip(b" ")
        known = _operator_ahead(path)  # else it is a key of this name
        if known == b" in " and _operator_ahead(path[3:].lstrip(b" ")):
            known = b""  # "length in = 5": here "in" is the key
        if rest.startswith(word.encode() + b" ") and not known:
            rest, quantifier = path, word
            break
    parts, star, end, place = read_path(rest)
    operator = _operator_at(rest[place : place + len(EXISTS) + 1])
    value = rest[place + len(operator) :]
    name = operator.decode().strip(" ")
    if end < place or name in COMPARISONS + ("in",) or quantifier == "length":
        value = value.strip(b" ")
    if not operator or parts == [b""]:
        msg = "write PATH=VALUE, such as db.0.up=true, or != < <= > >= in its place, or PATH in A,B, or PATH exists"
        raise Usage(msg)
    if (star >= 0) != (quantifier in {"any", "all"}):
        msg = "'any' or 'all' before a path, and a * in it, need each other: all checks.*.up=true"
        raise Usage(msg)
    values = [value]
    if name == "in":
        items = value.replace(b"\\,", b"\0").split(b",")
        values = [item.strip(b" ").replace(b"\0", b",") for item in items]
    if name in COMPARISONS or quantifier == "length":
        for one in values:
            if not is_json_number(one) or len(one) > LONGEST_NUMBER:
                msg = f"what stands behind {name or 'length'} must be a number, as JSON writes them"
                raise Usage(msg)
    shown = text[: len(text) - len(rest) + end]
    wanted = value if name == "=" else operator.strip(b" ") + b" " + value
    return Condition(quantifier, parts, star, name, values, shown, wanted)


def _operator_ahead(text: bytes) -> bytes:
    """Return the operator that stands behind one space or more, which are not in the text any more."""
    return _operator_at(b" " + text) or _operator_at(text)


def _operator_at(text: bytes) -> bytes:
    """Return the operator that a text begins with; " exists" must be all of it."""
    for operator in OPERATORS:
        if text.startswith(operator):
            return operator
    return EXISTS if text == EXISTS else b""


def read_path(text: bytes) -> tuple[list[bytes], int, int, int]:
    """Return the parts of a path, which of them is "*" (-1: none), where it ends, and where the operator is.

    Raises Usage.
    """
    parts: list[bytes] = []
    stars: list[int] = []
    part, spaces, is_plain, place = b"", b"", True, 0
    while True:
        byte = text[place : place + 1]
        ended = not byte or _operator_at(text[place : place + len(EXISTS) + 1])
        if ended or byte == b".":
            if part == b"*" and is_plain:
                stars.append(len(parts))
            parts.append(part if ended else part + spaces)
            if ended:
                break
            part, spaces, is_plain = b"", b"", True
        elif byte == b" ":
            spaces += byte
        else:
            if byte == b"\\":
                is_plain = False
                place += 1
                byte = text[place : place + 1]
                if not byte or byte not in ESCAPED:
                    msg = "a backslash in a path stands before one of . = ! < > * \\ and a space"
                    raise Usage(msg)
            part, spaces = part + spaces + byte, b""
        place += 1
    if len(stars) > 1:
        msg = "a path has one * at most"
        raise Usage(msg)
    return parts, stars[0] if stars else -1, place - len(spaces), place
