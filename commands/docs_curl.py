"""The tables of docs/curl.md that are made of data: options a variant lacks, answers over TLS, what others have."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from commands.markdown import markdown_table
from core.target import Target
from recipes.model import Recipe, Variant

COMPARED = ("h2", "full")
"""The variants that others' builds stand beside, as far as they are there."""

LIBRARIES = {"mbedtls": "mbedTLS", "openssl": "OpenSSL"}
"""What gives a variant TLS, by the recipe that it needs."""

YES, NO, UNKNOWN = "yes", "no", ""


def unserved_options(curl: Recipe, variant: Variant) -> list[str]:
    """Return the options that a variant does not know, as recipes/curl/options.txt says it of the newest release."""
    given = {**variant.switches, "VERSION": curl.releases[0].version}

    def holds(condition: str) -> bool:
        if condition == "always":
            return True
        name, sign, value = re.split("(!?=)", condition)
        return (given.get(name) == value) == (sign == "=")

    gone: list[str] = []
    for line in (curl.directory / "options.txt").read_text("utf-8").splitlines():
        condition, *names = line.split() or ["#"]
        if condition != "#" and all(map(holds, condition.split("&"))):
            gone += names
    return sorted(gone)


def options(curl: Recipe) -> str:
    """What each variant does not know; what none knows stands first."""
    lacking = {variant.name: set(unserved_options(curl, variant)) for variant in curl.variants}
    everywhere = set.intersection(*lacking.values())
    rows = [("all", _listed(everywhere))]
    rows += [(f"`{name}`", _listed(gone - everywhere)) for name, gone in lacking.items()]
    return markdown_table(("variant", "options that are unknown to it"), rows)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`--{name}`" for name in sorted(names))


def answers(rows: Iterable[Mapping[str, str | int]]) -> str:
    """What curl answers over TLS, as tests/integration/tls_answers.toml has it, and its tests hold it."""
    cells = [
        (
            str(row["asked"]),
            *(str(row.get(whose, row["code"])) for whose in ("code", "full", "debian")),
        )
        for row in rows
    ]
    return markdown_table(("asked", "`https`, `h2`", "`full`", "Debian's curl"), cells)


@dataclass(frozen=True, kw_only=True)
class Build:
    """Somebody's curl, ours or another's: a column of the table."""

    head: str
    facts: tuple[str, ...]
    """Cells of the rows that are about no single name."""
    has: frozenset[str]
    """Protocols and features, as ``curl -V`` calls them."""
    lacks: frozenset[str] = frozenset()
    whole: bool = False
    """It has nothing else."""
    unsure: frozenset[str] = frozenset()
    notes: Mapping[str, str]

    @classmethod
    def ours(cls, curl: Recipe, variant: Variant) -> Self:
        platforms = len([target for target in Target if target not in curl.unsupported])
        needs = {need.partition(":")[0] for need in variant.needs}
        libraries = [name for need, name in LIBRARIES.items() if need in needs]
        version = curl.releases[0].version
        return cls(
            head=f"`{curl.name}:{variant.name}`",
            facts=(f"{version}, built", ", ".join(libraries), YES, str(platforms)),
            has=names_of(variant),
            whole=True,
            notes={},
        )

    @classmethod
    def other(cls, row: Mapping[str, Any]) -> Self:
        """Read an entry of docs/others.toml."""
        read: date = row["read"]
        return cls(
            head=f"[{row['name']}]({row['url']})",
            facts=(
                f"{read.isoformat()}: {row['source']}",
                row["tls"],
                YES if row["static"] else NO,
                str(row["platforms"]),
            ),
            has=frozenset(row["has"]),
            lacks=frozenset(row.get("lacks", ())),
            whole=row.get("whole", False),
            unsure=frozenset(row.get("unsure", ())),
            notes=row.get("notes", {}),
        )

    @property
    def names(self) -> frozenset[str]:
        return self.has | self.lacks | self.unsure | self.notes.keys()

    def cell(self, name: str) -> str:
        """What is known of one protocol or feature."""
        if name in self.notes:
            return self.notes[name]
        if name in self.has:
            return YES
        known = name in self.lacks or (self.whole and name not in self.unsure)
        return NO if known else UNKNOWN


def names_of(variant: Variant) -> frozenset[str]:
    """What ``curl -V`` lists of a variant: what its recipe promises, and whom it believes by itself."""
    expect = variant.expect
    listed = {*expect.protocols, *expect.features} if expect else set()
    return frozenset(listed | ({"CAcert"} if variant.embeds else set()))


def beside(curl: Recipe, others: Iterable[Mapping[str, Any]]) -> str:
    """What our largest variants have and what others' builds have; names that share all their cells share a row."""
    chosen = [variant for variant in curl.variants if variant.name in COMPARED]
    builds = [*(Build.ours(curl, it) for it in chosen), *map(Build.other, others)]
    facts = ("what was looked at", "TLS by", "one static file", "Linux platforms")
    rows = [
        (fact, *cells) for fact, *cells in zip(facts, *(it.facts for it in builds), strict=True)
    ]
    return markdown_table(("", *(build.head for build in builds)), [*rows, *_grouped(builds)])


def _grouped(builds: Sequence[Build]) -> list[tuple[str, ...]]:
    every = frozenset[str]().union(*(build.names for build in builds))
    # Protocols come first: they have small letters, as do a few features.
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(every, key=lambda name: (not name.islower(), name.lower())):
        groups.setdefault(tuple(build.cell(name) for build in builds), []).append(name)
    # What everybody has stands first.
    ordered = sorted(groups.items(), key=lambda group: -group[0].count(YES))
    return [(", ".join(names), *cells) for cells, names in ordered]
