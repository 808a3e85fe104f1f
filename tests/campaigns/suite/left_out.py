"""Why a test of curl's suite is left out, or may fail: from left_out.toml, and from recipes/curl/options.txt."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.docs_curl import unserved_options
from recipes.model import Recipe, Variant

HERE = Path(__file__).parent
LEFT_OUT = "left out: "
"""How the outcomes begin that are ours; the others are runtests' own words."""
UNKNOWN_OPTION = f"{LEFT_OUT}an option that the variant does not know"
LACKS = re.compile(r"curl (lacks|has) (.+?)(?: server)? support")
BY_UPSTREAM = frozenset({"configured as DISABLED", "listed in DISABLED"})
REFUSED = re.compile(r"^ ?\+?curl: option (\S+): is unknown(?:\[CR\]\[LF\])?$", re.MULTILINE)
LONG_OPTION = re.compile(r'^ +\{"([a-z0-9.-]+)" *, *ARG_[A-Z|_]+, *\'(.)\',', re.MULTILINE)
HOOK = """\
no warnings 'redefine';
my $looked = \\&main::checksystemfeatures;
*main::checksystemfeatures = sub { $looked->(); $globalconfig::feature{$_} = 0 for qw(FEATURES); };
1;
"""
SECTION = re.compile(r"<(keywords|features|tool)>\n(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SuiteTest:
    """What a file of tests/data says of itself."""

    number: int
    keywords: frozenset[str]
    features: frozenset[str]
    tool: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """The rules for one variant."""

    rows: Mapping[str, list[dict[str, str]]]
    machine: frozenset[str]
    """What the suite calls a feature of curl, but is one of the machine."""
    unknown: frozenset[str]
    """Options without a letter of their own, and letters, that the variant does not know."""
    promised: frozenset[str]
    """Protocols and features that the recipe promises, in small letters."""

    @classmethod
    def of(cls, curl: Recipe, variant: Variant, letters: Mapping[str, str]) -> "LeftOut":
        """``letters``: the short form of each option that has one, by the long one."""
        data = tomllib.loads((HERE / "left_out.toml").read_text("utf-8"))
        machine = frozenset(data.pop("machine")["features"])
        unknown = frozenset(unserved_options(curl, variant))
        expect = variant.expect
        assert expect is not None
        return cls(
            rows=data,
            machine=machine,
            unknown=unknown | {letters[name] for name in unknown if name in letters},
            promised=frozenset(map(str.lower, expect.protocols + expect.features)),
        )

    def rules(self) -> list[str]:
        """The lines of the file that ``runtests.pl -E`` reads: TYPE:PATTERN:REASON."""
        return [
            f"{kind}:{row['pattern']}:{LEFT_OUT}{row['reason']}"
            for kind in ("tool", "keyword")
            for row in self.rows[kind]
        ]

    def hook(self) -> str:
        """The Perl that ``runtests.pl -L`` reads: takes features away, once the suite has looked for them."""
        absent = [row["name"] for row in self.rows["feature"] if row["option"] in self.unknown]
        return HOOK.replace("FEATURES", " ".join(absent))

    def stale(self, tests: Collection[SuiteTest]) -> list[str]:
        """The rows that fit no test: what they were for is gone."""
        fits = {
            "tool": lambda row: any(re.search(row["pattern"], t.tool, re.I) for t in tests),
            "keyword": lambda row: any(
                re.search(row["pattern"], word, re.I) for t in tests for word in t.keywords
            ),
            "feature": lambda row: any(row["name"] in t.features for t in tests),
        }
        return [str(row) for kind, rows in self.rows.items() for row in rows if not fits[kind](row)]

    def outcome(self, reason: str) -> str:
        """What a test counts as that did not run for this reason. Raises ValueError for what a recipe promises."""
        if reason.startswith(LEFT_OUT):
            return reason
        if reason in BY_UPSTREAM:
            return f"{LEFT_OUT}disabled by upstream"
        match = LACKS.fullmatch(reason)
        if match is None or match[2] in self.machine:
            return f"not run: {reason}"
        if match[1] == "lacks" and match[2].lower() in self.promised:
            msg = f"{reason}, says the suite, but the recipe promises it"
            raise ValueError(msg)
        return f"{LEFT_OUT}a feature that the variant {match[1]}"

    def refused_option(self, block: str) -> str:
        """The option that a failed test died of, if the variant does not know it on purpose; else an empty text."""
        for word in REFUSED.findall(block):
            name = word.lstrip("-")
            long = word.startswith("--")
            if {name, name.removeprefix("no-")} & self.unknown if long else name[0] in self.unknown:
                return str(word)
        return ""


def read_tests(data: Path) -> list[SuiteTest]:
    """All tests of the suite, by number."""
    tests = []
    for path in data.glob("test[0-9]*"):
        parts: dict[str, str] = dict(SECTION.findall(path.read_text("latin-1")))
        tests.append(
            SuiteTest(
                number=int(path.name.removeprefix("test")),
                keywords=_lines(parts.get("keywords", "")),
                features=_lines(parts.get("features", "")),
                tool=parts.get("tool", "").strip(),
            )
        )
    return sorted(tests, key=lambda test: test.number)


def read_letters(source: Path) -> dict[str, str]:
    """The short form of each option that has one, as src/tool_getparam.c has it."""
    text = (source / "src" / "tool_getparam.c").read_text("utf-8")
    return {name: letter for name, letter in LONG_OPTION.findall(text) if letter != " "}


def _lines(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.splitlines() if line.strip())
