"""A failure of curl's suite is a violation when it is one of ours: not of the load, nor of an option left out."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.anchors import ROOT
from tests.campaigns.campaign import Case, Violation
from tests.campaigns.curl import DEBIANS, Bench, part_of
from tests.campaigns.suite.left_out import UNKNOWN_OPTION, LeftOut, SuiteTest
from tests.campaigns.suite.output import SuiteRun
from tests.campaigns.suite.place import Place

NUMBERS = range(1, 200)
OURS = Path("/built/curl-mini")
CHOSEN = part_of(1, 0, NUMBERS)
REFUSED = "test 0001...[it]\n curl: option --proxy: is unknown\n"
WRONG = "test 0001...[it]\n 1: exit FAILED\n== Contents of files in the log/ directory\n"


@dataclass(frozen=True, kw_only=True)
class FakePlace(Place):
    """Plays runs that were thought out beforehand; each later run is of one test."""

    first: SuiteRun
    alone: Mapping[Path, SuiteRun]
    ran: list[tuple[Path, list[int], int]] = field(default_factory=list)

    def run(
        self,
        curl: Path,
        tests: Sequence[int],
        directory: Path,
        *,
        curlinfo: Path,
        left_out: LeftOut,
        runners: int = 4,
    ) -> SuiteRun:
        assert directory.is_dir()
        assert curlinfo.name
        assert left_out.rules()
        self.ran.append((curl, list(tests), runners))
        return self.first if len(tests) > 1 else self.alone[curl]


def suite_run(
    *passed: int, failed: Mapping[int, str] | None = None, skipped: Mapping[str, int] | None = None
) -> SuiteRun:
    return SuiteRun(passed=frozenset(passed), failed=failed or {}, skipped=skipped or {})


def bench(first: SuiteRun, **alone: SuiteRun) -> tuple[Bench, FakePlace]:
    curl = load_recipes(ROOT / "recipes")["curl"]
    mini = next(variant for variant in curl.variants if variant.name == "mini")
    by_program = {OURS: alone.get("ours", suite_run()), DEBIANS: alone.get("theirs", suite_run())}
    place = FakePlace(source=Path("/source"), made=Path("/made"), first=first, alone=by_program)
    tests = [
        SuiteTest(number=number, keywords=frozenset(), wants=frozenset(), tool="")
        for number in NUMBERS
    ]
    made = Bench(
        place=place,
        program=OURS,
        curlinfo=Path("/curlinfo"),
        left_out=LeftOut.of(curl, mini, letters={}, curlinfo=""),
        tests=tests,
    )
    return made, place


def run(made: Bench, directory: Path) -> Mapping[str, int]:
    return made(Case(1, 0, random.Random(1), directory), 0)


def test_what_passes_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    reasons = {"curl lacks ftp server support": 2, "curl lacks Debug support": 3, "no stunnel": 4}
    made, place = bench(suite_run(5, 6, skipped=reasons))
    assert run(made, tmp_path) == {
        "passed": 2,
        "left out: a feature of other variants": 2,
        "left out: for a build with curl's debugging inside": 3,
        "not run: no stunnel": 4,
    }
    assert place.ran == [(OURS, CHOSEN, 4)]


def test_an_option_left_out_on_purpose_is_no_violation_and_not_tried_again(tmp_path: Path) -> None:
    made, place = bench(suite_run(5, failed={7: REFUSED, 9: REFUSED}))
    assert run(made, tmp_path) == {"passed": 1, UNKNOWN_OPTION: 2}
    assert len(place.ran) == 1


def test_what_passes_alone_is_counted_apart(tmp_path: Path) -> None:
    made, place = bench(suite_run(5, failed={7: WRONG}), ours=suite_run(7))
    assert run(made, tmp_path) == {"passed": 1, "passed when alone": 1}
    assert place.ran[1:] == [(OURS, [7], 1)]


@pytest.mark.parametrize(
    ("theirs", "how"),
    [
        (suite_run(7), "passes"),
        (suite_run(failed={7: WRONG}), "fails"),
        (suite_run(skipped={"nothing": 1}), "skips"),
    ],
)
def test_what_fails_alone_too_is_a_violation_whatever_debian_does(
    tmp_path: Path, theirs: SuiteRun, how: str
) -> None:
    still = suite_run(failed={7: WRONG})
    made, place = bench(suite_run(5, failed={7: WRONG}), ours=still, theirs=theirs)
    with pytest.raises(Violation, match=f"exit FAILED\n.*curl {how} this test"):
        run(made, tmp_path)
    assert place.ran[1:] == [(OURS, [7], 1), (DEBIANS, [7], 1)]


def test_a_test_that_does_not_run_when_alone_has_not_passed(tmp_path: Path) -> None:
    made, _ = bench(suite_run(failed={7: WRONG}), ours=suite_run(skipped={"strange": 1}))
    with pytest.raises(Violation, match=r"not run alone: .*strange"):
        run(made, tmp_path)


def test_what_the_recipe_promises_is_not_left_out(tmp_path: Path) -> None:
    made, _ = bench(suite_run(skipped={"curl lacks http server support": 40}))
    with pytest.raises(Violation, match="the recipe promises it"):
        run(made, tmp_path)
