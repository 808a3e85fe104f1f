"""The tables of docs/probe.md: checks and options. Nobody imports the probe: it is asked, as a program of its own."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from commands.markdown import markdown_table
from core.process import run_program

ROOT = Path(__file__).parents[1]
LONGEST = 60.0
"""Seconds: a busy machine takes its time to start a Python."""

HEAD = ("option", "what", "default")
TELL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from probe.checks import CHECKS
from probe.options import COMMON_OPTIONS
from probe.usage import value_word
shown = lambda rows: [(n, "" if kind == "flag" else value_word(kind), *rest) for n, kind, *rest in rows]
told = [("all", "", [], shown(COMMON_OPTIONS))]
for check in CHECKS:
    told.append((check.name, check.purpose, [row[0] for row in check.schemes], shown(check.options)))
print(json.dumps(told))
"""

Told = tuple[str, str, Sequence[str], Sequence[tuple[str, str, str, str]]]


def probe_blocks() -> dict[str, Callable[[str], str]]:
    """Every block of that page: `checks`, and `options-CHECK`. Raises ProgramError when the probe is broken."""
    blocks: dict[str, Callable[[str], str]] = {"checks": lambda _: _checks(_ask())}
    for name, _, _, rows in _ask():
        blocks[f"options-{name}"] = functools.partial(_options, rows)
    return blocks


@functools.cache
def _ask() -> tuple[Told, ...]:
    words = [sys.executable, "-S", "-c", TELL, str(ROOT)]
    done = run_program(words, seconds=LONGEST, package="python3", purpose="ask the probe")
    return tuple(json.loads(done.stdout))


def _checks(told: Sequence[Told]) -> str:
    """Every check: what passes, and what URLs can name its target."""
    rows = [
        (f"[`{name}`](#{name})", purpose, ", ".join(f"`{scheme}://`" for scheme in schemes))
        for name, purpose, schemes, _ in told
        if purpose
    ]
    return markdown_table(("check", "passes when", "URLs"), rows)


def _options(rows: Sequence[tuple[str, str, str, str]], _: str) -> str:
    return markdown_table(HEAD, [(_option(*row[:2]), _what(row[3]), _code(row[2])) for row in rows])


def _option(name: str, word: str) -> str:
    return f"`--{name} {word}`" if word else f"`--{name}`"


def _what(text: str) -> str:
    """The help of an option; its escapes would be Markdown's."""
    plain, semicolon, escapes = text.partition("; \\")
    return f"{plain}; `\\{escapes}`" if semicolon else plain


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
