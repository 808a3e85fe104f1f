"""Runs a finished program where nothing else is, and says whether it does what its recipe promises."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from recipes.model import Product, RecipeExpectations, Release, SmokeTest

if TYPE_CHECKING:
    from verify.servers import Servers

CA = PurePosixPath("/ca.pem")
SECONDS = 20.0


class Ran(Protocol):
    """How one run ended."""

    @property
    def code(self) -> int:
        """The exit code."""
        ...

    @property
    def stdout(self) -> str:
        """All it printed."""
        ...

    @property
    def stderr(self) -> str:
        """All it complained of."""
        ...


class ScratchRoot(Protocol):
    """An empty root with one program in it."""

    def run(self, args: Sequence[str], *, seconds: float) -> Ran:
        """Run the program: uid 65532, read-only, the machine's loopback network, no /tmp."""
        ...


class SmokeEnvironment(Protocol):
    """Somebody who can make empty roots."""

    @property
    def how(self) -> str:
        """``docker``, ``sandbox`` or ``qemu``: what the manifest says."""
        ...

    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> AbstractContextManager[ScratchRoot]:
        """Make an empty root that holds these files, one of which is the program."""
        ...


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """The result: ``ran`` is False when there was no place to run it in."""

    ran: bool
    ok: bool
    how: str
    failures: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Trials that this machine has not what it takes for."""

    def __bool__(self) -> bool:
        return self.ok

    @property
    def state(self) -> str:
        """One word or two for a table."""
        return ("ok" if self.ok else "FAILED") if self.ran else "not run"

    def as_dict(self) -> dict[str, object]:
        """What the manifest says."""
        said: dict[str, object] = {"ran": self.ran, "ok": self.ok, "how": self.how}
        if self.failures:
            said["failures"] = list(self.failures)
        if self.skipped:
            said["skipped"] = list(self.skipped)
        return said

    @classmethod
    def not_run(cls, reason: str) -> "Smoke":
        """Nobody looked: neither good nor bad."""
        return cls(ran=False, ok=False, how=reason)


def smoke(
    file: Path, product: Product, release: Release, place: SmokeEnvironment, servers: "Servers"
) -> Smoke:
    """Try a program with everything its recipe lists."""
    # As in an image: a program may look at its own name, as busybox does.
    program = PurePosixPath("/") / product.recipe.name
    files = {program: file, CA: servers.ca}
    failures: list[str] = []
    skipped: list[str] = []
    with place.open(files, program=program) as room:
        version = room.run(["--version"], seconds=SECONDS)
        if product.variant.expect:
            failures += promises(version.stdout, product.variant.expect)
        for trial in product.recipe.smoke:
            if trial.variants and product.variant.name not in trial.variants:
                continue
            if "http6" not in servers.places and any("{http6}" in word for word in trial.args):
                skipped.append(f"{' '.join(trial.args)}: this machine has no IPv6")
                continue
            servers.reset()
            failures += _try(trial, room, release, servers)
    return Smoke(
        ran=True,
        ok=not failures,
        how=place.how,
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


def _try(
    trial: SmokeTest, room: ScratchRoot, release: Release, servers: "Servers"
) -> Iterator[str]:
    args = [_fill(word, servers.places) for word in trial.args]
    ran = room.run(args, seconds=SECONDS)
    said = f"{' '.join(trial.args)}"
    if ran.code != trial.code:
        yield f"{said}: exit code {ran.code}, not {trial.code} ({ran.stderr.strip()[:200]})"
    wanted = _fill(trial.stdout, {"version": release.version})
    if wanted not in ran.stdout:
        yield f"{said}: printed {ran.stdout[:200]!r}, without {wanted!r}"


def _fill(text: str, places: Mapping[str, str]) -> str:
    """Fill in what is known; other braces belong to the program (``%{http_code}``)."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text
