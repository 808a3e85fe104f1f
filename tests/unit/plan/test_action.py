"""A step as data: it says all that its runner must know, nothing of this machine, and is read with suspicion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.action import LARGEST, ROOT, TOOLS, Action, NoActionError
from builders.outcome import Outcome
from builders.perform import perform
from builders.plan import Step, topological_order
from builders.sources.cache import Cache
from core.cancel import Cancelled, CancelToken
from core.errors import EngineError, StepError
from tests.fakes import BuildHarness, FakeEngine, below, fake_toolchain


def built(harness: BuildHarness) -> dict[Step, Outcome]:
    steps = topological_order(harness.world.plan("hello:secure"))
    return harness.run(steps)


def action(harness: BuildHarness, slug: str) -> Action:
    done = built(harness)
    (step,) = [step for step in done if step.slug == slug]
    return harness.builder().action(step, {name: done[need] for name, need in step.needs})


@pytest.fixture
def secure(harness: BuildHarness) -> Action:
    return action(harness, "hello-secure-2.0-linux-amd64")


def test_what_is_written_is_what_is_read(harness: BuildHarness, secure: Action) -> None:
    assert Action.read(secure.json()) == secure
    for slug in ("musl-1.0-linux-amd64", "hello-secure-2.0-linux-amd64-pack"):
        one = action(harness, slug)
        assert Action.read(one.json()) == one
        assert Action.read(one.json()).json() == one.json()


def test_it_says_what_goes_in_by_digest(harness: BuildHarness, secure: Action) -> None:
    assert set(secure.trees) == {"recipe", "needs/checks", "needs/data", "needs/musl", "needs/tls"}
    assert secure.source is not None
    assert secure.source.filename == "hello-2.0.tar.gz"
    assert all(harness.cache.blob(sha256) for sha256 in secure.inputs)
    packing = action(harness, "hello-secure-2.0-linux-amd64-pack")
    assert set(packing.trees) == {"recipe", "needs/plain", "needs/upx"}
    assert packing.source is None
    assert not packing.parallel
    assert secure.parallel


def test_it_says_nothing_of_the_machine_that_made_it(
    harness: BuildHarness, secure: Action, tmp_path: Path
) -> None:
    text = secure.json().decode()
    for path in (tmp_path, Path.home(), Path.cwd()):
        assert str(path) not in text
    assert "JOBS" not in secure.env
    assert secure.env["OUT"] == f"{ROOT}/out"
    assert secure.env["PATH"].startswith(f"{TOOLS}/bin:")


def test_root_tools_and_cores_are_those_of_where_it_runs(secure: Action) -> None:
    env = secure.environment(Path("/elsewhere"), Path("/wrench"), 7)  # type: ignore[arg-type]
    assert env["OUT"] == "/elsewhere/out"
    assert env["NEED_TLS"] == "/elsewhere/needs/tls"
    assert env["TOOLCHAIN"] == "/wrench"
    assert env["JOBS"] == "7"
    assert "@" not in "".join(env.values())


def test_it_runs_in_another_cache_and_makes_the_same(
    harness: BuildHarness, secure: Action, tmp_path: Path
) -> None:
    there = Cache(tmp_path / "there")
    for sha256 in secure.inputs:
        blob = harness.cache.blob(sha256)
        assert blob is not None
        there.put_file(blob)
    seen: dict[str, bytes] = {}

    def script(running: Any) -> int:
        seen.update(below(running.directory))
        running.make("result", b"the same")
        return 0

    engine = FakeEngine(tmp_path / "boxes-there", harness.toolchain, script)
    outcome = perform(
        Action.read(secure.json()),
        cache=there,
        toolchain=harness.toolchain,
        engine=engine,
        stop=CancelToken(),
        logs=tmp_path / "logs",
    )
    assert outcome.key == secure.key
    assert all(there.blob(sha256) for sha256 in outcome.blobs)
    assert there.get_action(secure.key) is None  # whoever asked for it decides what is remembered
    assert seen["src/source.c"] == b"the source of hello 2.0\n"
    assert seen["needs/tls/result"] == b"tls-1.0-linux-amd64"
    assert seen["recipe/build.sh"] == b"# makes hello\n"


def perform_here(harness: BuildHarness, one: Action, tmp_path: Path, **changes: Any) -> Outcome:
    parts: dict[str, Any] = {
        "cache": harness.cache,
        "toolchain": harness.toolchain,
        "engine": harness.engine,
        "stop": CancelToken(),
        "logs": tmp_path / "logs",
        **changes,
    }
    return perform(one, **parts)


def test_another_toolchain_runs_nothing(
    harness: BuildHarness, secure: Action, tmp_path: Path
) -> None:
    other = fake_toolchain(tmp_path / "other")
    (other.scripts / "cc").write_text("another compiler")
    harness.engine.ran.clear()
    with pytest.raises(EngineError, match="of another toolchain"):
        perform_here(harness, secure, tmp_path, toolchain=other)
    assert harness.engine.ran == []


def test_an_input_that_is_gone_is_named(
    harness: BuildHarness, secure: Action, tmp_path: Path
) -> None:
    with pytest.raises(StepError, match=r"'needs/\w+' of hello:secure .* is not in the cache"):
        perform_here(harness, secure, tmp_path, cache=Cache(tmp_path / "empty"))


def test_its_own_token_stops_it_and_no_other_step(
    harness: BuildHarness, secure: Action, tmp_path: Path
) -> None:
    stop = CancelToken()

    def script(running: Any) -> int:
        stop.set()
        code: int = running.until_stopped()
        return code

    harness.engine.script = script
    with pytest.raises(Cancelled):
        perform_here(harness, secure, tmp_path, stop=stop)
    assert not harness.cancel


def test_the_time_is_the_action_s(harness: BuildHarness, secure: Action, tmp_path: Path) -> None:
    perform_here(harness, secure, tmp_path)
    assert harness.engine.commands["hello-secure-2.0-linux-amd64"].seconds == secure.seconds


Change = Callable[[dict[str, Any]], object]

BAD: dict[str, Change] = {
    "another version": lambda a: a.update(version=2),
    "an unknown field": lambda a: a.update(extra=1),
    "a field less": lambda a: a.pop("memory"),
    "a key that is a path": lambda a: a.update(key="../../x"),
    "a key in capitals": lambda a: a.update(key="A" * 64),
    "a name with a new line": lambda a: a.update(name="a\nb"),
    "an empty name": lambda a: a.update(name=""),
    "a script elsewhere": lambda a: a.update(script="../elsewhere/x.sh"),
    "a script with a word behind": lambda a: a.update(script='build.sh"; rm -r /'),
    "seconds that are true": lambda a: a.update(seconds=True),
    "seconds that are none": lambda a: a.update(seconds=float("nan")),
    "endless seconds": lambda a: a.update(seconds=float("inf")),
    "less than no memory": lambda a: a.update(memory=-1),
    "memory in words": lambda a: a.update(memory="1"),
    "parallel in numbers": lambda a: a.update(parallel=1),
    "JOBS": lambda a: a["env"].update(JOBS="1"),
    "a number as variable": lambda a: a["env"].update(X=1),
    "no name of a variable": lambda a: a["env"].update({"A=B": ""}),
    "a variable with NUL": lambda a: a["env"].update(X="a\0b"),
    "an environment that is a list": lambda a: a.update(env=[]),
    "no recipe": lambda a: a["trees"].pop("recipe"),
    "a place outside": lambda a: a["trees"].update({"../x": "a" * 64}),
    "a place far outside": lambda a: a["trees"].update({"/etc": "a" * 64}),
    "a place of its own": lambda a: a["trees"].update({"out": "a" * 64}),
    "a need in a need": lambda a: a["trees"].update({"needs/tls/x": "a" * 64}),
    "a need above": lambda a: a["trees"].update({"needs/..": "a" * 64}),
    "a tree that is no digest": lambda a: a["trees"].update(src="x"),
    "two sources": lambda a: a["trees"].update(src="a" * 64),
    "a source that is no digest": lambda a: a["source"].update(sha256="a"),
    "a source in a directory": lambda a: a["source"].update(filename="a/b"),
    "a source without a name": lambda a: a["source"].update(filename=""),
    "a source before 1970": lambda a: a["source"].update(epoch=-1),
    "unused above": lambda a: a["source"].update(unused=[".."]),
    "unused as text": lambda a: a["source"].update(unused="ab"),
    "unused numbers": lambda a: a["source"].update(unused=[1]),
    "a source with more": lambda a: a["source"].update(more=1),
    "a source that is a list": lambda a: a.update(source=[]),
    "a toolchain that is none": lambda a: a.update(toolchain=None),
}


@pytest.mark.parametrize("what", BAD)
def test_what_no_client_of_ours_writes_is_refused(secure: Action, what: str) -> None:
    table = json.loads(secure.json())
    BAD[what](table)
    with pytest.raises(NoActionError):
        Action.read(json.dumps(table).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b" " * (LARGEST + 1)]
)
def test_what_is_no_action_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(NoActionError):
        Action.read(data)
