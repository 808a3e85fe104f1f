"""Why a test of curl's suite is left out, or may fail: from left_out.toml, and from recipes/curl/options.txt."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
my %corrected = (FEATURES);
*main::checksystemfeatures = sub {
    $looked->();
    @globalconfig::feature{keys %corrected} = values %corrected;
};
1;
"""
SECTION = re.compile(r"<(keywords|features|server|tool)>\n(.*?)</\1>", re.DOTALL)
OFF = re.compile(r"^(.+): OFF$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SuiteTest:
    """What a file of tests/data says of itself."""

    number: int
    keywords: frozenset[str]
    wants: frozenset[str]
    """Features and servers."""
    tool: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """The rules for one variant."""

    rows: Mapping[str, list[dict[str, Any]]]
    aliases: Mapping[str, str]
    """Names that the suite has for what ``curl -V`` shows under others."""
    machine: frozenset[str]
    """What the suite calls a feature of curl, but is one of the machine."""
    unknown: frozenset[str]
    """Options without a letter of their own, and letters, that the variant does not know."""
    promised: frozenset[str]
    """Protocols and features that the recipe promises of the variant, in small letters."""
    elsewhere: frozenset[str]
    """Those that it promises of other variants alone."""
    switched_off: frozenset[str]
    """What ``curlinfo`` says that the recipe's switches leave out."""

    @classmethod
    def of(
        cls, curl: Recipe, variant: Variant, *, letters: Mapping[str, str], curlinfo: str
    ) -> "LeftOut":
        """``letters``: the short form of each option that has one, by the long one; ``curlinfo``: what that prints."""
        data = tomllib.loads((HERE / "left_out.toml").read_text("utf-8"))
        machine = frozenset(data.pop("machine")["features"])
        aliases = data.pop("alias")
        unknown = frozenset(unserved_options(curl, variant))
        promised = _promised(variant)
        others = frozenset[str]().union(*map(_promised, curl.variants))
        return cls(
            rows=data,
            aliases=aliases,
            machine=machine,
            unknown=unknown | {letters[name] for name in unknown if name in letters},
            promised=promised,
            elsewhere=others - promised,
            switched_off=frozenset(OFF.findall(curlinfo)),
        )

    def rules(self) -> list[str]:
        """The lines of the file that ``runtests.pl -E`` reads: TYPE:PATTERN:REASON."""
        return [
            f"{kind}:{row['pattern']}:{LEFT_OUT}{row['reason']}"
            for kind in ("tool", "keyword")
            for row in self.rows[kind]
        ]

    def hook(self) -> str:
        """The Perl that ``runtests.pl -L`` reads: corrects features, once the suite has looked for them."""
        known = {row["name"]: row["option"] not in self.unknown for row in self.rows["feature"]}
        return HOOK.replace(
            "FEATURES", ", ".join(f"'{name}', {it:d}" for name, it in known.items())
        )

    def stale(self, tests: Collection[SuiteTest]) -> list[str]:
        """The rows that fit no test: what they were for is gone."""
        fits = {
            "tool": lambda row: any(re.search(row["pattern"], t.tool, re.I) for t in tests),
            "keyword": lambda row: any(
                re.search(row["pattern"], word, re.I) for t in tests for word in t.keywords
            ),
            "feature": lambda row: any(row["name"] in t.wants for t in tests),
            "lacks": lambda row: all(any(it in t.wants for t in tests) for it in row["features"]),
        }
        return [str(row) for kind, rows in self.rows.items() for row in rows if not fits[kind](row)]

    def outcome(self, reason: str) -> str:
        """What a test counts as that did not run for this reason. Raises ValueError where nothing says why."""
        if reason.startswith(LEFT_OUT):
            return reason
        if reason in BY_UPSTREAM:
            return f"{LEFT_OUT}disabled by upstream"
        match = LACKS.fullmatch(reason)
        if match is None or match[2] in self.machine:
            return f"not run: {reason}"
        if match[1] == "has":
            return f"{LEFT_OUT}for a curl without a feature that the variant has"
        name = match[2].removesuffix("-ipv6").removesuffix("-unix")
        name = self.aliases.get(name, name).lower()
        if name in self.promised:
            msg = f"{reason}, says the suite, but the recipe promises it"
            raise ValueError(msg)
        if name in self.elsewhere:
            return f"{LEFT_OUT}a feature of other variants"
        if match[2] in self.switched_off:
            return f"{LEFT_OUT}switched off in the recipe"
        for row in self.rows["feature"]:
            if match[2] == row["name"] and row["option"] in self.unknown:
                return UNKNOWN_OPTION
        for row in self.rows["lacks"]:
            if match[2] in row["features"]:
                return f"{LEFT_OUT}{row['reason']}"
        msg = f"{reason}, says the suite; neither the recipe nor left_out.toml says why"
        raise ValueError(msg)

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
                wants=_lines(parts.get("features", "")) | _lines(parts.get("server", "")),
                tool=parts.get("tool", "").strip(),
            )
        )
    return sorted(tests, key=lambda test: test.number)


def read_letters(source: Path) -> dict[str, str]:
    """The short form of each option that has one, as src/tool_getparam.c has it."""
    text = (source / "src" / "tool_getparam.c").read_text("utf-8")
    return {name: letter for name, letter in LONG_OPTION.findall(text) if letter != " "}


def _promised(variant: Variant) -> frozenset[str]:
    expect = variant.expect
    return frozenset(map(str.lower, expect.protocols + expect.features)) if expect else frozenset()


def _lines(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.splitlines() if line.strip())
