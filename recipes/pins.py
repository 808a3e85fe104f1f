"""Writes a new release into the text of a `recipe.toml`: comments, order and layout of all else stay as they are."""

import re
import tomllib
from dataclasses import asdict
from typing import Any

import tomlkit
from tomlkit.items import Array

from core.errors import RecipeError
from recipes.model import Release

KEEP = 2
"""Releases that stay in a recipe: the newest, and one to fall back on."""

_HEADER = re.compile(r"\s*\[\[\s*releases\s*\]\]")
_OTHER = re.compile(r"\s*\[(?!\s*releases\s*\.)")
_IDLE = re.compile(r"\s*(?:#.*)?$")


def add_release(text: str, release: Release) -> tuple[str, tuple[str, ...]]:
    """Return a recipe's text with ``release`` as its first one, laid out and commented as the one that was first.

    The oldest are dropped until `KEEP` are left; their versions are returned too. Raises RecipeError, naming no file,
    when the text is laid out in a way that cannot be followed: then nothing but a person can change it.
    """
    lines = text.splitlines(keepends=True)
    before = tomllib.loads(text)
    starts = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    spans = [(start, _end(lines, start)) for start in starts]
    if not spans or len(spans) != len(before["releases"]):
        raise _unclear()
    first = "".join(lines[slice(*spans[0])])
    ending = "\r\n" if lines[starts[0]].endswith("\r\n") else "\n"
    dropped = spans[KEEP - 1 :]
    for begin, end in reversed(dropped):
        # The blank line that stood between it and what follows goes too.
        more = end + 1 if end < len(lines) and not lines[end].strip() else end
        if begin and lines[begin - 1].strip():
            more = end
        del lines[begin:more]
    while dropped and not lines[-1].strip():
        del lines[-1]
    lines.insert(starts[0], _filled(first, release).rstrip() + ending + ending)
    new = "".join(lines)
    _compare(before, new, release)
    return new, tuple(str(old["version"]) for old in before["releases"][KEEP - 1 :])


def _end(lines: list[str], start: int) -> int:
    """The line after the last one that says something: comments below it are about what follows."""
    end = last = start + 1
    while end < len(lines) and not (_HEADER.match(lines[end]) or _OTHER.match(lines[end])):
        end += 1
        if not _IDLE.match(lines[end - 1]):
            last = end
    return last


def _filled(block: str, release: Release) -> str:
    """Return the text of one release with the values of another."""
    document = tomlkit.parse(block)
    table: Any = document["releases"][0]
    expected = as_table(release)
    for key in table.keys() - expected.keys():
        del table[key]
    for key, value in expected.items():
        old = table.get(key)
        if isinstance(old, Array) and isinstance(value, list) and len(old) == len(value):
            for index, item in enumerate(value):
                old[index] = item
        elif isinstance(old, dict) and isinstance(value, dict):
            old.update(value)
        elif old is None or old != value:
            table[key] = value
    return tomlkit.dumps(document)


def as_table(release: Release) -> dict[str, Any]:
    """Return a release as the keys of ``[[releases]]``; those that say nothing are left out, but for ``urls``."""
    source = release.archive
    table = {**asdict(release), **asdict(source), "urls": list(source.urls)}
    table["signature"] = table.pop("signature")  # a table of its own: the last one
    unwritten = {"name", "source"}
    return {k: v for k, v in table.items() if k not in unwritten and v is not None and v != ""}


def _compare(before: dict[str, Any], new: str, release: Release) -> None:
    """Make sure that the new text says what it should, and nothing else."""
    expected = {**before, "releases": [as_table(release), *before["releases"][: KEEP - 1]]}
    try:
        found = tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise _unclear() from error
    if found != expected:
        raise _unclear()


def _unclear() -> RecipeError:
    msg = "The releases are laid out in a way that cannot be rewritten."
    return RecipeError(msg, next="write each as [[releases]] on a line of its own, keys below it")
