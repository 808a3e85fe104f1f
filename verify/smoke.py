"""Runs a finished program where nothing else is, and says whether it does what its recipe promises."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.scratch import ScratchRoot, SmokeEnvironment
from recipes.model import RecipeExpectations, SmokeTest
from verify.actions import Trial

if TYPE_CHECKING:
    from verify.servers import SmokeServers

CA = PurePosixPath("/ca.pem")
SECONDS = 20.0
_ALWAYS = ("ran", "ok", "how")


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """The result: ``ran`` is False when there was no environment to run it in."""

    ran: bool
    ok: bool
    how: str
    failures: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Tests that this machine cannot run."""

    def __bool__(self) -> bool:
        return self.ok

    @property
    def state(self) -> str:
        return ("ok" if self.ok else "FAILED") if self.ran else "not run"

    def as_dict(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if value or name in _ALWAYS}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Smoke":
        """Undo `as_dict`."""
        lists = {name: tuple(map(str, table.get(name, ()))) for name in ("failures", "skipped")}
        return cls(ran=table["ran"] is True, ok=table["ok"] is True, how=str(table["how"]), **lists)

    @classmethod
    def not_run(cls, reason: str) -> "Smoke":
        return cls(ran=False, ok=False, how=reason)


def smoke(
    file: Path, trial: Trial, environment: SmokeEnvironment, servers: "SmokeServers"
) -> Smoke:
    """Run a program through every test of its recipe."""
    program = PurePosixPath("/") / trial.program
    files = {program: file, CA: servers.ca}
    failures: list[str] = []
    skipped: list[str] = []
    with environment.open(files, program=program) as root:
        version = root.run(["--version"], seconds=SECONDS)
        if trial.expect:
            failures += promises(version.stdout, trial.expect)
        for test in trial.tests:
            if test.variants and trial.variant not in test.variants:
                continue
            if "http6" not in servers.placeholders and any("{http6}" in arg for arg in test.args):
                skipped.append(f"{' '.join(test.args)}: this machine has no IPv6")
                continue
            servers.reset()
            failures += _run(test, root, trial.version, servers)
    return Smoke(
        ran=True,
        ok=not failures,
        how=environment.how,
        failures=tuple(failures),
        skipped=tuple(skipped),
    )


def promises(text: str, expect: RecipeExpectations) -> Iterator[str]:
    """Compare what ``curl -V`` says with what the recipe promises and forbids."""
    for title, promised in (("Protocols", expect.protocols), ("Features", expect.features)):
        if not promised:
            continue
        found = re.search(rf"^{title}: (.*)$", text, re.MULTILINE)
        if found is None:
            yield f"'{title}:' is missing from what --version prints"
            continue
        words = set(found[1].split())
        if missing := sorted(set(promised) - words):
            yield f"{title} lack {', '.join(missing)}"
        if forbidden := sorted(set(expect.forbidden) & words):
            yield f"{title} have {', '.join(forbidden)}, which the recipe forbids"
        if title == "Protocols" and (more := sorted(words - set(promised))):
            yield f"Protocols have {', '.join(more)} beyond what the recipe promises"


def _run(
    test: SmokeTest, root: ScratchRoot, version: str, servers: "SmokeServers"
) -> Iterator[str]:
    result = root.run([_fill(arg, servers.placeholders) for arg in test.args], seconds=SECONDS)
    command = " ".join(test.args)
    if result.code != test.code:
        errors = result.stderr.strip()[:200]
        yield f"{command}: exit code {result.code}, not {test.code} ({errors})"
    expected = _fill(test.stdout, {"version": version})
    if expected not in result.stdout:
        yield f"{command}: printed {result.stdout[:200]!r}, without {expected!r}"


def _fill(text: str, placeholders: Mapping[str, str]) -> str:
    """Fill in what is known; other braces belong to the program (``%{http_code}``)."""
    for name, value in placeholders.items():
        text = text.replace(f"{{{name}}}", value)
    return text
