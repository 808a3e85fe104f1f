"""Two builds side by side: which engine makes the second, what is taken over, how it is told."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builders.sources.cache import Cache
from commands.rebuild import Comparison, Pair, other_engine, rebuild_and_compare, seed
from commands.rebuild_worker import BuildSpec, error_of, run_worker
from core.errors import EngineError, ExitCode, RecipeError, SourceError, UsageError
from core.target import Target
from flow.build import Request
from flow.fetch import fetch_sources
from tests.unit.flow.conftest import Harness
from verify.difference import find_difference


@dataclass
class Chooser:
    """Finds only these engines."""

    working: Sequence[str]
    tried: list[str] = field(default_factory=list)

    def make(self, name: str) -> None:
        self.tried.append(name)
        if name not in self.working:
            msg = f"no {name}"
            raise EngineError(msg)


@dataclass
class WithChooser:
    chooser: Chooser


DOCKER, SANDBOX, HOST = "docker", "sandbox", "host"


@pytest.mark.parametrize(
    ("working", "used", "expected"),
    [
        ((DOCKER, SANDBOX, HOST), {DOCKER}, SANDBOX),
        ((DOCKER, SANDBOX, HOST), {SANDBOX}, DOCKER),
        ((SANDBOX, HOST), {SANDBOX}, HOST),
        ((HOST,), {HOST}, HOST),
        ((HOST,), {DOCKER}, HOST),
        ((DOCKER, SANDBOX, HOST), {DOCKER, SANDBOX}, HOST),
        ((DOCKER, SANDBOX, HOST), {DOCKER, SANDBOX, HOST}, DOCKER),
    ],
)
def test_the_second_build_has_another_engine_when_there_is_one(
    working: Sequence[str], used: set[str], expected: str
) -> None:
    context: Any = WithChooser(Chooser(working))
    assert other_engine(context, used) is expected


def seeded(harness: Harness, *, tools: bool) -> tuple[set[str], list[str]]:
    """Copy what the second build is given; return the steps it knows and the tools it was told of."""
    harness.build()
    context = harness.context()
    cache = Cache(harness.directory / "second")
    request = Request(targets=(Target.AMD64,))
    taken = seed(context, request, cache, tools=tools)
    names = {entry.name for entry in cache.entries() if entry.kind == "action"}
    steps = {str((cache.get_action(name) or {}).get("step")) for name in names}
    for release, _ in fetch_sources(context, context.recipes.values()).values():
        used = release.archive.name in {"hello", "musl", "upx"}
        assert (cache.blob(release.archive.sha256) is not None) is used
    return steps, taken


def test_sources_and_tools_are_taken_over_and_nothing_else(harness: Harness) -> None:
    assert seeded(harness, tools=True) == ({"upx 1.0 linux/amd64"}, ["upx 1.0"])


def test_without_tools_only_sources_are(harness: Harness) -> None:
    assert seeded(harness, tools=False) == (set(), [])


def pair(directory: Path, one: bytes, two: bytes) -> Pair:
    (directory / "one").write_bytes(one)
    (directory / "two").write_bytes(two)
    return Pair(
        product="hello:plain",
        target=Target.AMD64,
        packed=False,
        path="files/hello",
        sha256=("a" * 64, ("a" if one == two else "b") * 64),
        difference=None if one == two else find_difference(directory / "one", directory / "two"),
    )


def test_equal_files_are_told_with_their_hash_and_what_was_varied(tmp_path: Path) -> None:
    recorder = Comparison(
        pairs=(pair(tmp_path, b"x", b"x"),), varied={"clock": "not varied: no"}, kept="/kept"
    )
    assert recorder
    assert "a" * 64 in recorder.text()
    assert "not varied: no" in recorder.text()
    assert "/kept" not in recorder.text()
    assert json.loads(json.dumps(recorder.as_dict()))["equal"] is True


def test_a_file_that_differs_is_told_with_the_place(tmp_path: Path) -> None:
    pairs = (pair(tmp_path, b"x", b"x"), pair(tmp_path, b"text one", b"text two"))
    recorder = Comparison(pairs=pairs, varied={}, kept="/kept")
    assert not recorder
    assert "NO" in recorder.text()
    assert 'near "text one"' in recorder.text()
    assert "/kept" in recorder.text()
    files = json.loads(json.dumps(recorder.as_dict()))["files"]
    assert [one["equal"] for one in files] == [True, False]
    assert files[1]["difference"]["places"][0]["first"]["offset"] == 5


def test_what_is_kept_of_it_has_no_path_of_this_machine(tmp_path: Path) -> None:
    pairs = (pair(tmp_path, b"x", b"x"), pair(tmp_path, b"text one", b"text two"))
    varied = {"engine": "docker -> host", "directories": "/home/me/cache -> /tmp/other"}
    kept = Comparison(pairs=pairs, varied=varied, kept="/kept").record()
    assert not kept.equal
    assert [one.equal for one in kept.files] == [True, False]
    assert kept.varied == {"engine": "docker -> host", "directories": "others"}
    assert kept.files[1].sha256 == ("a" * 64, "b" * 64)


def test_nothing_compared_is_no_success() -> None:
    assert not Comparison(pairs=(), varied={}, kept="")


def test_an_error_of_the_second_build_keeps_its_kind_and_its_code() -> None:
    said = {"what": "no mirror", "why": "because", "next": "do this", "code": 4}
    error = error_of(said)
    assert isinstance(error, SourceError)
    assert error.code == ExitCode.SOURCE
    assert (error.what, error.why, error.next) == (
        "The second build: no mirror",
        "because",
        "do this",
    )


def spec(harness: Harness, *products: str) -> BuildSpec:
    """A second build that may use what the first one made."""
    settings = {"cache": str(harness.directory / "cache"), "offline": "1", "engine": "host"}
    return BuildSpec(
        settings={**settings, "artifacts": str(harness.directory / "second")},
        recipes=str(harness.world.recipes),
        request=Request(products=products, targets=(Target.AMD64,), exact=True),
        cores=3,
        days=1,
    )


def test_the_other_process_is_given_the_request_and_answers_with_its_files(
    harness: Harness, tmp_path: Path
) -> None:
    artifacts = harness.build("hello:secure@2.0")
    made = run_worker(spec(harness, "hello:secure@2.0"), tmp_path)
    assert {path: file.name for path, file in made.items()} == {
        artifact.path: artifact.sha256 for artifact in artifacts
    }
    assert all(file.is_file() for file in made.values())


def test_what_ends_the_other_process_ends_this_one(harness: Harness, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The second build: hello 3\.0 is not pinned") as caught:
        run_worker(spec(harness, "hello:plain@3.0"), tmp_path)
    assert caught.value.next == "choose one of: 2.0, 1.0"


def test_a_record_that_cannot_be_added_to_is_said_before_anything_is_built(
    harness: Harness,
) -> None:
    harness.artifacts.mkdir()
    (harness.artifacts / "rebuilds.json").write_text("{", "utf-8")
    with pytest.raises(RecipeError, match=r"rebuilds\.json cannot be read"):
        rebuild_and_compare(harness.context(), Request(targets=(Target.AMD64,)))
    assert harness.engine.ran == []
