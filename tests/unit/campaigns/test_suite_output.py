"""The output of runtests.pl is read as it is meant, whatever failed; what does not add up says nothing."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.campaigns.suite.output import SuiteRun, Unreadable, complaint, read_output

REASONS = ("curl lacks ftp server support", "left out: a test of libcurl", 'no "server" for gopher')
FORGED = (
    "test 0001...[a name]",
    "test 0001 [a name]",
    "TESTDONE: 9 tests were considered during 1 seconds.",
    "TESTFAIL: These test cases failed: 1 2 3",
    'TESTINFO: "it pleased me" 3 times (1, 2, 3)',
)
"""What a server may have sent, so that it is in a log: runtests puts a blank before."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """An output, and what was put into it."""

    text: str
    asked: int
    passed: set[int]
    failed: set[int]
    skipped: Counter[str]


def block(number: int, *, failed: bool, chance: random.Random) -> list[str]:
    dots = chance.choice(("...", " "))  # until 8.21.0, and since
    lines = [f"test {number:04d}{dots}[name of {number} [in brackets]]"]
    if not failed:
        return [*lines, f"--pd---e--- OK (1   out of 9  , took 0.{chance.randrange(10**3)}s)"]
    lines += ["", f" {number}: stderr FAILED:", "--- log/check-expected", "+++ log/check-generated"]
    lines += ["@@ -1 +1 @@", "-curl: right", "+curl: wrong"]
    lines += [f"== Contents of files in the log/ directory after test {number}"]
    lines += [f"=== Start of file stderr{number}", *(f" {line}" for line in FORGED)]
    return [*lines, f"=== End of file stderr{number}"]


def reasons(skipped: Counter[str]) -> list[str]:
    return [
        f'TESTINFO: "{reason}" {count} time{"s" * (count > 1)} (1, 2 and 3 more)'
        for reason, count in skipped.items()
    ]


def told(seed: int, *, numbers: Iterable[int] = range(1, 40)) -> Told:
    """Some tests by chance: each passed, failed, or was left out."""
    chance = random.Random(seed)
    fates = {number: chance.choice(("passed", "failed", "skipped")) for number in numbers}
    by_fate = {fate: [n for n, its in fates.items() if its == fate] for fate in set(fates.values())}
    passed, failed = by_fate.get("passed", []), by_fate.get("failed", [])
    skipped = Counter(chance.choice(REASONS) for _ in by_fate.get("skipped", []))
    lines = ["********* System characteristics ********", "* Args: -a -n -p 1 2 3"]
    ran = sorted([*passed, *failed], key=lambda _: chance.random())  # several at a time
    for number in ran:
        lines += block(number, failed=number in failed, chance=chance)
    lines += [f"test {n:04d} SKIPPED: curl lacks it" for n in by_fate.get("skipped", [])[:3]]
    lines += [f"TESTDONE: {len(fates)} tests were considered during 1 seconds."]
    lines += [f"TESTINFO: {skipped.total()} tests were skipped due to these restraints:"]
    lines += reasons(skipped)
    if ran:
        lines += [f"TESTDONE: {len(passed)} tests out of {len(ran)} reported OK: 50%"]
    else:
        lines += ["", "TESTFAIL: No tests were performed", ""]
    if failed:
        lines += [f"FAIL {n}: 'name of {n}' HTTP, HTTP GET" for n in failed]
        lines += ["", f"TESTFAIL: These test cases failed: {' '.join(map(str, failed))}", ""]
    text = "\n".join(lines) + "\n"
    return Told(
        text=text, asked=len(fates), passed=set(passed), failed=set(failed), skipped=skipped
    )


def read(told: Told) -> SuiteRun:
    return read_output(told.text, asked=told.asked)


@pytest.mark.parametrize("seed", range(50))
def test_every_test_is_found_again(seed: int) -> None:
    case = told(seed)
    run = read(case)
    assert (set(run.passed), set(run.failed)) == (case.passed, case.failed)
    assert Counter(run.skipped) == case.skipped


@pytest.mark.parametrize("number", [1, 12, 305, 3219])
def test_a_run_of_one_test_is_read_too(number: int) -> None:
    ends = set()
    for seed in range(20):
        case = told(seed, numbers=[number])
        run = read(case)
        ends.add((len(run.passed), len(run.failed), sum(run.skipped.values())))
    assert ends == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


@pytest.mark.parametrize("seed", range(20))
def test_a_failure_is_told_with_the_comparison_and_without_the_logs(seed: int) -> None:
    case = told(seed)
    for number, text in read(case).failed.items():
        assert "+curl: wrong" in text
        assert FORGED[0] in text
        said = complaint(text)
        assert re.match(rf"test {number:04d}(\.\.\.| )\[", said)
        assert "+curl: wrong" in said
        assert FORGED[0] not in said


def without(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found is not None, pattern
    return text[: found.start()] + text[found.end() :]


@pytest.mark.parametrize(
    "lost",
    [
        r"^test \d+\.\.\.[^\n]*\n",
        r"^--pd---e--- OK[^\n]*\ntest [^\n]*\n",
        r"^TESTDONE: \d+ tests were considered[^\n]*\n",
        r"^TESTDONE: \d+ tests out of[^\n]*\n",
        r'^TESTINFO: "[^\n]*\n',
        r"^TESTFAIL: These test cases failed:[^\n]*\n",
        r"^TESTDONE: .*",
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_output_that_lost_something_is_not_believed(lost: str, seed: int) -> None:
    case = told(seed)
    with pytest.raises(Unreadable):
        read_output(without(case.text, lost), asked=case.asked)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_of_fewer_tests_than_asked_for_is_not_believed(seed: int) -> None:
    case = told(seed)
    for asked in (case.asked - 1, case.asked + 1):
        with pytest.raises(Unreadable, match="asked for"):
            read_output(case.text, asked=asked)


def test_a_suite_that_died_shows_its_last_words() -> None:
    with pytest.raises(Unreadable, match="Could not get curl's version"):
        read_output("Can't exec\nCould not get curl's version at runtests.pl\n", asked=3)
