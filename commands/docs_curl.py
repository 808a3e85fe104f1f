"""The tables of docs/curl.md that are made of curl's own data: options a variant lacks, answers over TLS."""

import re
from collections.abc import Iterable, Mapping

from commands.markdown import markdown_table
from recipes.model import Recipe, Variant


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
    """What curl:https answers over TLS, as tests/integration/tls_answers.toml has it, and its tests hold it."""
    cells = [
        (str(row["asked"]), str(row["code"]), str(row.get("debian", row["code"]))) for row in rows
    ]
    return markdown_table(("asked", "answered: exit code", "Debian's curl"), cells)
