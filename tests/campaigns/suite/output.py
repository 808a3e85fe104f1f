"""Reads what curl's ``runtests.pl`` prints (its docs/runtests.md): which tests passed, failed or did not run."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

STARTED = re.compile(r"^test (\d+)(?:\.\.\.| )\[", re.MULTILINE)
"""Before 8.22.0 with dots."""
BLOCK_END = re.compile(r"^(?:test \d+|TEST[A-Z]+:)", re.MULTILINE)
CONSIDERED = re.compile(r"^TESTDONE: (\d+) tests were considered", re.MULTILINE)
PASSED = re.compile(r"^TESTDONE: (\d+) tests out of (\d+) reported OK", re.MULTILINE)
FAILED = re.compile(r"^TESTFAIL: These test cases failed: ([\d ]+)$", re.MULTILINE)
NONE_RAN = re.compile(r"^TESTFAIL: No tests were performed$", re.MULTILINE)
SKIPPED = re.compile(r'^TESTINFO: "(.*)" (\d+) times? \(', re.MULTILINE)
LOGS = re.compile(r"^== Contents of files in ", re.MULTILINE)


class Unreadable(Exception):
    """The output does not add up: something is lost in it, so nothing can be said of the run."""

    def __init__(self, why: str, text: str) -> None:
        end = "\n".join(text.splitlines()[-15:])
        super().__init__(f"{why}\n{end}")


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """What came of a run of the suite."""

    passed: frozenset[int]
    failed: Mapping[int, str]
    """By the number of the test: all that was said of it, with the files that it left."""
    skipped: Mapping[str, int]
    """Tests that did not run, counted by the reason."""


def read_output(text: str, *, asked: int) -> SuiteRun:
    """Read the output of a run with ``-a``, without ``-s``, that was asked for so many tests.

    What a test printed begins with a blank or a sign of a comparison there, so none can pass itself off as a result.
    Raises Unreadable when tests are missing in it, or its sums are others than its lines.
    """
    blocks = _blocks(text)
    failed = {int(word) for line in FAILED.findall(text) for word in line.split()}
    skipped: Counter[str] = Counter()
    for reason, count in SKIPPED.findall(text):
        skipped[reason] += int(count)
    considered = CONSIDERED.findall(text)
    if [str(asked)] != considered:
        msg = f"{asked} tests were asked for, considered: {', '.join(considered) or 'none'}"
        raise Unreadable(msg, text)
    if len(blocks) + skipped.total() != asked:
        msg = f"of {asked} tests {len(blocks)} began and {skipped.total()} were left out"
        raise Unreadable(msg, text)
    passed = blocks.keys() - failed
    sums = PASSED.findall(text) or [("0", "0")] * bool(NONE_RAN.search(text))
    if sums != [(str(len(passed)), str(len(blocks)))] or not failed <= blocks.keys():
        msg = f"{len(passed)} of {len(blocks)} tests passed, but it says {sums}"
        raise Unreadable(msg, text)
    return SuiteRun(
        passed=frozenset(passed), failed={n: blocks[n] for n in sorted(failed)}, skipped=skipped
    )


def complaint(block: str, *, lines: int = 30) -> str:
    """What is said of a failure, without the files that the test left."""
    said = block[: found.start()] if (found := LOGS.search(block)) else block
    return "\n".join(line for line in said.splitlines()[:lines] if line.strip())


def _blocks(text: str) -> dict[int, str]:
    blocks: dict[int, str] = {}
    for begun in STARTED.finditer(text):
        end = BLOCK_END.search(text, begun.end())
        number = int(begun[1])
        if number in blocks:
            msg = f"test {number} began twice"
            raise Unreadable(msg, text)
        blocks[number] = text[begun.start() : end.start() if end else len(text)]
    return blocks
