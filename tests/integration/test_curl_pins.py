"""What curl asks of the platform is answered by recipes/curl/answers.txt: it must say what the compiler would."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders.build import Outcome
from builders.plan import Stage, Step
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
MUSL, OLDER_MUSL = (release.version for release in load_recipes()["musl"].releases)

CASES = [
    (CURL, MUSL, Target.AMD64),
    (CURL, MUSL, Target.ARM_V7),
    (CURL, MUSL, Target.S390X),
    (OLDER_CURL, MUSL, Target.AMD64),
    (CURL, OLDER_MUSL, Target.AMD64),
]


def pinned() -> dict[str, str]:
    lines = (HERE / "curl/answers.txt").read_text("utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    answers = {row[0]: row[1] for row in rows}
    assert len(answers) == len(rows), "a name is there twice"
    return answers


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
        found = find_need("musl", recipes)
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
            needs=(("musl", libc),),
        )
        builder = self.context.builder()
        return builder.run(step, {"musl": builder.run(libc, {})})


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    context = Context(settings=Settings.read({}), report=PlainReport())
    return Laboratory(context=context, directory=tmp_path)


def asked(laboratory: Laboratory, curl: str, musl: str, target: Target) -> dict[str, str]:
    """What the compiler answers, in the words of answers.txt."""
    variant = Variant(name="", summary="", needs=("musl",))
    # Not asked again when an answer changes: it would be another step.
    changed = {"build.sh": ASKS.read_text("utf-8"), "answers.txt": ""}
    outcome = laboratory.run(curl, musl, target, variant, changed)
    blob = laboratory.context.cache.blob(outcome.files["asked"])
    assert blob
    rows = [line.split("=", 1) for line in blob.read_text("utf-8").splitlines()]
    words = {"": "no", "FALSE": "no", "TRUE": "yes"}
    return {
        name: "yes" if value == "1" and not name.startswith("SIZEOF") else words.get(value, value)
        for name, value in rows
    }


@pytest.mark.parametrize(("curl", "musl", "target"), CASES, ids=str)
def test_what_is_pinned_is_what_the_compiler_says(
    laboratory: Laboratory, curl: str, musl: str, target: Target
) -> None:
    answers = {
        name: str(target.machine.bits // 8) if answer == "word" else answer
        for name, answer in pinned().items()
    }
    found = asked(laboratory, curl, musl, target)
    assert len(found) > 100
    assert {name: answers[name] for name in found if name in answers} == {
        name: answer for name, answer in found.items() if name in answers
    }


def test_what_is_pinned_is_still_asked(laboratory: Laboratory, tmp_path: Path) -> None:
    names: set[str] = set()
    for version in (CURL, OLDER_CURL):
        each = replace(laboratory, directory=tmp_path / version)
        names |= set(asked(each, version, MUSL, Target.AMD64))
    assert sorted(set(pinned()) - names) == []


def test_what_is_not_pinned_is_asked(built: Built, laboratory: Laboratory) -> None:
    """Without any pins the same program comes out."""
    (mini,) = [v for v in laboratory.context.recipes["curl"].variants if v.name == "mini"]
    outcome = laboratory.run(CURL, MUSL, Target.native(), mini, {"answers.txt": "# none\n"})
    assert list(outcome.files.values()) == [built.entry("curl:mini")["sha256"]]
