"""curl's own test suite on our files: `tests/runtests.pl` of its source, against the suite's servers.

A case is a part of all tests, on one variant; which tests are in it depends on the seed. A test that failed runs again,
alone. What then fails is a violation, unless it died of an option that the variant does not know on purpose.
"""

import hashlib
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console.progress import PlainReport
from core.settings import Settings
from flow.context import Context
from recipes.model import Variant
from tests.built import Built
from tests.campaigns.campaign import Campaign, Case, NotRun, Run, Violation
from tests.campaigns.suite.left_out import (
    UNKNOWN_OPTION,
    LeftOut,
    SuiteTest,
    read_letters,
    read_tests,
)
from tests.campaigns.suite.output import SuiteRun, complaint
from tests.campaigns.suite.place import RUNNERS, Place, find_tools

VARIANTS = ("mini", "http", "https", "h2", "full")
PARTS = 20
"""Of all tests, for each variant: a tenth is two of them."""
DEBIANS = Path("/usr/bin/curl")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One variant, and all that a run of the suite on it needs."""

    place: Place
    program: Path
    curlinfo: Path
    left_out: LeftOut
    tests: Sequence[SuiteTest]

    def __call__(self, case: Case, part: int) -> Mapping[str, int]:
        """Run a part of the tests; return how many came to what. Raises Violation for those that failed."""
        chosen = part_of(case.seed, part, [test.number for test in self.tests])
        first = self._run(case.directory / "first", chosen)
        counts: Counter[str] = Counter(passed=len(first.passed))
        try:
            for reason, count in first.skipped.items():
                counts[self.left_out.outcome(reason)] += count
        except ValueError as why:
            raise Violation(str(why)) from None
        wrong = []
        for number, block in first.failed.items():
            if self.left_out.refused_option(block):
                counts[UNKNOWN_OPTION] += 1
            elif said := self._again(case.directory / str(number), number):
                wrong.append(said)
            else:
                counts["passed when alone"] += 1
        if wrong:
            raise Violation("\n".join(wrong))
        return counts

    def _again(self, directory: Path, number: int) -> str:
        """What is to say of a test that fails alone, too; nothing when it passes now."""
        ours = self._run(directory, [number])
        if number in ours.passed:
            return ""
        block = ours.failed.get(number, f"not run alone: {ours.skipped}")
        theirs = self._run(directory / "debian", [number], program=DEBIANS)
        how = "passes" if theirs.passed else "fails" if theirs.failed else "skips"
        return f"{self.program.name}: {complaint(block)}\n({DEBIANS} {how} this test)"

    def _run(
        self,
        directory: Path,
        tests: Sequence[int],
        *,
        program: Path | None = None,
    ) -> SuiteRun:
        directory.mkdir()
        return self.place.run(
            program or self.program,
            tests,
            directory,
            curlinfo=self.curlinfo,
            left_out=self.left_out,
            runners=RUNNERS if len(tests) > 1 else 1,
        )


def part_of(seed: int, part: int, numbers: Sequence[int]) -> list[int]:
    """The tests that a part of them has, by chance that the seed decides: each is in one part."""

    def drawn(number: int) -> int:
        return int(hashlib.sha256(f"{seed} {number}".encode()).hexdigest(), 16) % PARTS

    return [number for number in numbers if drawn(number) == part]


def variant_and_part(case: int) -> tuple[str, int]:
    """Which variant a case tries, and which part of the tests.

    The number of variants is a prime one, so that of several jobs (but as many) each gets every variant.
    """
    part, place = divmod(case, len(VARIANTS))
    return VARIANTS[place], part


def left_without(variant: Variant) -> list[str]:
    """What curl's source is compiled without in a variant, as names of its macros."""
    return [
        name
        for name, value in variant.switches.items()
        if name.startswith("CURL_DISABLE_") and value == "ON"
    ]


def benches(directory: Path) -> dict[str, Bench]:
    """Every variant, built in the user's own cache. Raises NotRun when that, or the suite, is not to be had."""
    find_tools()
    context = Context(settings=Settings.read({}), report=PlainReport())
    curl = context.recipes["curl"]
    try:
        built = Built.once(directory, *(f"curl:{name}" for name in VARIANTS), "--no-pack")
    except AssertionError as error:
        raise NotRun(str(error)) from None
    release = curl.releases[0]
    older = {built.entry(f"curl:{name}")["release"] for name in VARIANTS} - {release.version}
    if older:
        msg = f"it is for curl {release.version}; only {older.pop()} was to be had here"
        raise NotRun(msg)
    place = Place.ready(context.local, release.archive.sha256)
    tests, letters = read_tests(place.source / "tests" / "data"), read_letters(place.source)
    made: dict[str, Bench] = {}
    for variant in curl.variants:
        curlinfo = place.curlinfo(left_without(variant), directory / f"curlinfo-{variant.name}")
        left_out = LeftOut.of(curl, variant, letters=letters, curlinfo=printed_by(curlinfo))
        if stale := left_out.stale(tests):
            msg = f"rows of left_out.toml that fit no test: {', '.join(stale)}"
            raise RuntimeError(msg)
        made[variant.name] = Bench(
            place=place,
            program=built.file(f"curl:{variant.name}"),
            curlinfo=curlinfo,
            left_out=left_out,
            tests=tests,
        )
    return made


def printed_by(program: Path) -> str:
    return subprocess.run(
        [program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@contextmanager
def opened() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="campaign.") as directory:
        found = benches(Path(directory))

        def run(case: Case) -> Mapping[str, int]:
            name, part = variant_and_part(case.number)
            return found[name](case, part)

        yield run


CAMPAIGN = Campaign(
    name="curl",
    purpose="curl's own test suite: in no variant a failure but of options left out on purpose. Outcomes count tests.",
    cases=len(VARIANTS) * PARTS,
    open=opened,
    rooms=("recipes",),
)
