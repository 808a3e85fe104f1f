"""What curl asks of the platform is answered by recipes/curl/answers.txt: it must say what the compiler would."""

import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders.outcome import Outcome
from builders.plan import Stage, Step
from builders.side import is_side
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.context import Context
from flow.fetch import fetch_sources
from recipes.load import HERE, load_recipes
from recipes.model import Variant, find_need
from tests.built import Built

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

ASKS = Path(__file__).parents[1] / "fixtures/curl_asks.sh"
CURL, OLDER_CURL = (release.version for release in load_recipes()["curl"].releases)
LIBC = "musl:base"
"""What curl is built on: what its configure script looks for has to be in it."""

MUSL, OLDER_MUSL = (release.version for release in load_recipes()["musl"].releases)

CASES = [
    (CURL, MUSL, Target.AMD64),
    (CURL, MUSL, Target.ARM_V7),
    (CURL, MUSL, Target.S390X),
    (OLDER_CURL, MUSL, Target.AMD64),
    (CURL, OLDER_MUSL, Target.AMD64),
]


def pinned() -> tuple[set[str], set[str]]:
    """The names that curl always asks for, and those that it asks for of OpenSSL."""
    text = (HERE / "curl/answers.txt").read_text("utf-8")
    parts = [
        [line.split()[0] for line in part.splitlines() if not line.startswith("#")]
        for part in text.split("\n\n")
    ]
    names = [name for part in parts for name in part]
    assert len(set(names)) == len(names), "a name is there twice"
    platform, openssl = map(set, parts)
    return platform, openssl


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """Runs steps of curl whose recipe was changed, in the cache of whoever runs the tests."""

    context: Context
    directory: Path

    def run(
        self, curl: str, musl: str, target: Target, variant: Variant, changed: Mapping[str, str]
    ) -> Outcome:
        """Make a variant by a copy of the recipe in which some files (name to text) are others."""
        recipes = self.context.recipes
        copy = self.directory / "curl"
        shutil.copytree(HERE / "curl", copy)
        for name, text in changed.items():
            (copy / name).write_text(text, "utf-8")
        versions = {"curl": curl, "musl": musl}
        sources = fetch_sources(
            self.context, [recipes[name] for name in versions], versions, exact=True
        )
        found = find_need(LIBC, recipes)
        assert found
        libc = Step(
            stage=Stage.BUILD,
            recipe=found[0],
            release=sources["musl"][0],
            variant=found[1],
            target=target,
            needs=(),
        )
        step = Step(
            stage=Stage.BUILD,
            recipe=replace(recipes["curl"], directory=copy),
            release=sources["curl"][0],
            variant=variant,
            target=target,
            needs=((LIBC, libc),),
        )
        builder = self.context.builder()
        return builder.run(step, {LIBC: builder.run(libc, {})})


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    context = Context(settings=Settings.read({}), report=PlainReport())
    return Laboratory(context=context, directory=tmp_path)


@dataclass(frozen=True, kw_only=True)
class Said:
    """Name to answer, as the compiler gave it, and with the recipe's answers."""

    asked: Mapping[str, str]
    answered: Mapping[str, str]


def ask(laboratory: Laboratory, curl: str, musl: str, target: Target) -> Said:
    variant = Variant(name="", summary="", needs=(LIBC,))
    outcome = laboratory.run(curl, musl, target, variant, {"build.sh": ASKS.read_text("utf-8")})

    def read(name: str) -> dict[str, str]:
        blob = laboratory.context.cache.blob(outcome.files[name])
        assert blob
        rows = [line.split("=", 1) for line in blob.read_text("utf-8").splitlines()]
        words = {"TRUE": "1", "FALSE": ""}  # some answers of CMake
        return {row[0]: words.get(row[1], row[1]) for row in rows}

    return Said(asked=read("asked"), answered=read("answered"))


@pytest.mark.parametrize(("curl", "musl", "target"), CASES, ids=str)
def test_what_is_pinned_is_what_the_compiler_says(
    laboratory: Laboratory, curl: str, musl: str, target: Target
) -> None:
    said = ask(laboratory, curl, musl, target)
    assert len(said.asked) > 100
    assert {name: said.answered.get(name) for name in said.asked} == said.asked


def test_what_is_pinned_is_still_asked(laboratory: Laboratory, tmp_path: Path) -> None:
    names: set[str] = set()
    for version in (CURL, OLDER_CURL):
        each = replace(laboratory, directory=tmp_path / version)
        names |= set(ask(each, version, MUSL, Target.AMD64).asked)
    platform, _ = pinned()
    assert sorted(platform - names) == []


@pytest.mark.parametrize("version", [CURL, OLDER_CURL])
def test_what_is_pinned_of_openssl_is_still_asked(laboratory: Laboratory, version: str) -> None:
    """Asked, each would be a link of all of it. A wrong answer is a curl:full that is not built, or lacks HTTP/3."""
    curl = laboratory.context.recipes["curl"]
    sources = fetch_sources(laboratory.context, [curl], {"curl": version}, exact=True)
    with tarfile.open(sources["curl"][1].path) as archive:
        files = [it for it in archive if it.isfile() and "cmake" in it.name.casefold()]
        read = [archive.extractfile(it) for it in files]
        text = b"".join(file.read() for file in read if file).decode()
    _, openssl = pinned()
    assert [name for name in sorted(openssl) if not re.search(rf"\b{name}\b", text)] == []


def test_what_is_not_pinned_is_asked(built: Built, laboratory: Laboratory) -> None:
    """Without any pins the same program comes out."""
    (mini,) = [v for v in laboratory.context.recipes["curl"].variants if v.name == "mini"]
    outcome = laboratory.run(CURL, MUSL, Target.native(), mini, {"answers.txt": "# none\n"})
    made = [sha256 for path, sha256 in outcome.files.items() if not is_side(path)]
    assert made == [built.entry("curl:mini")["sha256"]]
