"""Merge the probe's modules into one: what is frozen cannot import its own. Runs on CPython and on MicroPython alike.

Usage: merge.py PACKAGE [system] > OUT.py

Each module comes after those that it imports, __main__ last. With `system`, that module is left out and imported
instead: on MicroPython it is C. What only people and type checkers read goes away as far as no compiler would drop it
by itself: imports of typing, blocks for TYPE_CHECKING, __all__.

It is done by lines, so the package keeps to a form: all of these begin at column 0.
"""

import sys

UNUSED = (
    "from __future__ import ",
    "from typing import ",
    "from collections.abc import ",
    "__all__ =",
    "TYPE_CHECKING =",
)
OWN = "from probe."


class Merge:
    """The modules that were read, in the order in which they run."""

    def __init__(self, directory: str, separate: str) -> None:
        self.directory = directory
        self.separate = separate
        self.begun: list[str] = []
        self.lines: list[str] = []
        self.imported: list[str] = []

    def add(self, name: str) -> None:
        """Add a module, after those that it imports."""
        if name in self.begun:
            return
        self.begun.append(name)
        with open(f"{self.directory}/{name}.py") as file:  # noqa: PTH123  # MicroPython has no pathlib
            text = file.read()
        kept = []
        for statement in statements(text.split("\n")):
            first = statement[0]
            if first.startswith(OWN):
                source, names = parse_import(statement)
                if source == self.separate:
                    self.imported += [word for word in names if word not in self.imported]
                else:
                    self.add(source)
            elif not first.startswith(UNUSED):
                kept += statement
        self.lines += kept

    def text(self) -> str:
        """Return the module that they are together."""
        names = ", ".join(sorted(self.imported))
        head = [f"from {self.separate} import {names}"] if names else []
        return "\n".join(head + self.lines)


def statements(lines: list[str]) -> list[list[str]]:
    """Return what begins at column 0, each with the lines that belong to it, without blocks for TYPE_CHECKING."""
    found: list[list[str]] = []
    quoted = skipping = was_skipping = False
    for line in lines:
        if not quoted and line[:1] not in {"", " ", "#", ")", "]", "}"}:
            was_skipping, skipping = skipping, line.startswith("if TYPE_CHECKING:")
            if not skipping:
                found.append([])
        if not skipping:
            other = was_skipping and line.startswith("else:")
            (found or [[]])[-1].append("if True:" if other else line)
        if line.count('"""') % 2:
            quoted = not quoted
    return found


def parse_import(statement: list[str]) -> tuple[str, list[str]]:
    """Return the module and the names of ``from probe.module import (a, b)``."""
    text = " ".join([line.split("#")[0] for line in statement])
    source, _, names = text[len(OWN) :].partition(" import ")
    for mark in "(),":
        names = names.replace(mark, " ")
    words = names.split()
    if "as" in words:
        raise ValueError(text)
    return source, words


def main(directory: str, separate: str) -> None:
    """Print the merged module."""
    merge = Merge(directory, separate)
    merge.add("__main__")
    text = merge.text()
    if separate and f" {OWN}" in text:
        raise ValueError(text[text.index(f" {OWN}") :].partition("\n")[0])
    print(text)


main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
