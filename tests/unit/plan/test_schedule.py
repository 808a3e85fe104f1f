"""Running a plan: what runs, what does not, in which order, and how it all ends."""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import pytest

from builders.memory import MemoryBudget
from builders.outcome import Outcome
from builders.plan import Step, topological_order
from builders.schedule import critical_paths, run_plan
from core.cancel import Cancelled
from core.errors import EngineError, ExitCode, LostInputs, StepError
from core.target import Target
from tests.fakes import BuildHarness, Running, below, make_something, wait_for_threads

EVERYTHING = {
    "data-1.0-linux-amd64",
    "hello-2.0-linux-amd64-checks",
    "hello-secure-2.0-linux-amd64",
    "hello-secure-2.0-linux-amd64-pack",
    "musl-1.0-linux-amd64",
    "tls-1.0-linux-amd64",
    "upx-1.0-linux-amd64",
}


def build(
    harness: BuildHarness, *names: str, jobs: int = 4, **flags: object
) -> dict[Step, Outcome]:
    steps = topological_order(harness.world.plan(*(names or ("hello:secure",))))
    builder = harness.builder(**flags)  # type: ignore[arg-type]
    return harness.run(steps, jobs=jobs, builder=builder)


def by_slug(outcomes: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {step.slug: outcome for step, outcome in outcomes.items()}


def test_everything_runs_once_and_is_told_of(harness: BuildHarness) -> None:
    outcomes = build(harness)
    assert sorted(harness.engine.ran) == sorted(EVERYTHING)
    assert {step.slug for step in outcomes} == EVERYTHING
    assert sorted(harness.report.started) == sorted(harness.report.finished)
    assert harness.engine.open_sandboxes == 0


def test_nothing_runs_again_and_no_engine_is_looked_for(harness: BuildHarness) -> None:
    first = by_slug(build(harness))
    steps = topological_order(harness.world.plan("hello:secure"))
    builder = harness.builder()

    def no_engine() -> None:
        msg = "an engine was looked for"
        raise AssertionError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    again = by_slug(harness.run(steps, jobs=4, builder=builder))
    assert len(harness.engine.ran) == len(EVERYTHING)
    assert all(outcome.cached for outcome in again.values())
    assert {slug: outcome.output for slug, outcome in again.items()} == {
        slug: outcome.output for slug, outcome in first.items()
    }


def test_an_engine_by_another_name_finds_what_the_first_one_made(harness: BuildHarness) -> None:
    build(harness)
    harness.engine.name, harness.engine.isolated = "host", False
    again = by_slug(build(harness))
    assert len(harness.engine.ran) == len(EVERYTHING)
    # And it is still said that the bytes came out of a sandbox.
    assert {(outcome.engine, outcome.isolated) for outcome in again.values()} == {("sandbox", True)}


def test_only_what_changed_runs_again(harness: BuildHarness) -> None:
    build(harness)
    harness.engine.ran.clear()
    # What it makes does not change, so that nothing after it has to run.
    (harness.world.recipes / "tls" / "build.sh").write_text("# another way\n", "utf-8")
    build(harness)
    assert harness.engine.ran == ["tls-1.0-linux-amd64"]


def test_steps_that_do_not_need_each_other_run_at_the_same_time(harness: BuildHarness) -> None:
    together = threading.Barrier(2)

    def script(running: Running) -> int:
        if running.step.startswith(("tls", "data")):
            together.wait(10)  # breaks, and fails the step, when the other one never comes
        return make_something(running)

    harness.engine.script = script
    harness.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(harness, jobs=2)


def test_no_more_steps_than_jobs_run_at_the_same_time(harness: BuildHarness) -> None:
    running_now: list[str] = []
    most: list[int] = []

    def script(running: Running) -> int:
        running_now.append(running.step)
        most.append(len(running_now))
        time.sleep(0.01)
        running_now.remove(running.step)
        return make_something(running)

    harness.engine.script = script
    build(harness, jobs=1)
    assert max(most) == 1


def test_a_step_has_what_it_needs_when_it_begins(harness: BuildHarness) -> None:
    needs: dict[str, dict[str, bytes]] = {}

    def script(running: Running) -> int:
        needs[running.step] = below(running.directory / "needs")
        return make_something(running)

    harness.engine.script = script
    build(harness)
    assert needs["musl-1.0-linux-amd64"] == {}
    assert needs["hello-secure-2.0-linux-amd64"] == {
        "checks/result": b"hello-2.0-linux-amd64-checks",
        "data/result": b"data-1.0-linux-amd64",
        "musl/result": b"musl-1.0-linux-amd64",
        "tls/result": b"tls-1.0-linux-amd64",
    }
    assert needs["hello-secure-2.0-linux-amd64-pack"] == {
        "plain/result": b"hello-secure-2.0-linux-amd64",
        "upx/result": b"upx-1.0-linux-amd64",
    }


def test_the_first_failure_stops_the_others_and_is_what_is_told(harness: BuildHarness) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("data"):
            assert begun.wait(10)
            return 3
        if running.step.startswith("musl"):
            begun.set()
            return running.until_stopped()
        return make_something(running)

    harness.engine.script = script
    with pytest.raises(StepError, match=r"data 1\.0 linux/amd64 failed with exit code 3"):
        build(harness, jobs=2)
    assert sorted(harness.engine.ran) == ["data-1.0-linux-amd64", "musl-1.0-linux-amd64"]
    assert sorted(harness.engine.ended) == sorted(harness.engine.ran)
    assert harness.engine.open_sandboxes == 0


def test_what_was_made_before_the_failure_is_kept(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        return 1 if running.step.startswith("hello-secure") else make_something(running)

    harness.engine.script = script
    with pytest.raises(StepError):
        build(harness, jobs=1)
    harness.engine.script, harness.engine.ran = make_something, []
    harness.cancel.clear()
    build(harness)
    assert "musl-1.0-linux-amd64" not in harness.engine.ran
    assert "hello-secure-2.0-linux-amd64" in harness.engine.ran


def test_ctrl_c_stops_every_step_and_leaves_nothing_running(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        # As the terminal does: the signal reaches the thread that waits for the steps.
        os.kill(os.getpid(), signal.SIGINT)
        return running.until_stopped()

    harness.engine.script = script
    with pytest.raises(KeyboardInterrupt):
        build(harness, jobs=1)
    wait_for_threads("step")
    assert harness.engine.ended == harness.engine.ran
    assert harness.engine.open_sandboxes == 0
    assert list((harness.cache.root / "tmp").iterdir()) == []


def test_an_engine_that_cannot_be_had_is_told_once_as_what_it_is(harness: BuildHarness) -> None:
    builder = harness.builder()

    def no_engine() -> None:
        msg = "no engine works here"
        raise EngineError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    steps = topological_order(harness.world.plan("hello:secure"))
    with pytest.raises(EngineError, match="no engine works here"):
        harness.run(steps, jobs=4, builder=builder)


@dataclass
class OtherPool:
    """Takes every step, and hands it to a function."""

    begin: Callable[[Step, Mapping[str, Outcome], bool], Future[Outcome]]
    urgencies: dict[str, float] = field(default_factory=dict)
    open: int = 0

    def __enter__(self) -> Self:
        self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.open -= 1

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        return True

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        assert self.open == 1
        self.urgencies[step.slug] = urgency
        return self.begin(step, inputs, again)


def test_another_executor_can_take_the_place_of_the_threads(harness: BuildHarness) -> None:
    builder, submitted = harness.builder(), dict[str, set[str]]()

    def submit(step: Step, inputs: Mapping[str, Outcome], again: bool) -> Future[Outcome]:
        assert not again
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("step")]
        submitted[step.slug] = set(inputs)
        future: Future[Outcome] = Future()
        future.set_result(builder.run(step, inputs))
        return future

    steps = topological_order(harness.world.plan("hello:secure"))
    pool = OtherPool(submit)
    done = run_plan(steps, builder, pool=pool, cancel=harness.cancel)
    assert set(submitted) == {step.slug for step in done} == EVERYTHING
    assert submitted["hello-secure-2.0-linux-amd64"] == {"checks", "data", "musl", "tls"}
    submitted.clear()
    assert run_plan(steps, builder, pool=pool, cancel=harness.cancel).keys() == set(steps)
    assert submitted == {}  # what is cached is not handed out


def test_a_failure_in_another_executor_cancels_and_waits(harness: BuildHarness) -> None:
    """One step fails, one is on its way and ends when it is told, one has not begun."""
    futures: dict[str, Future[Outcome]] = {}

    def end_when_told(future: Future[Outcome]) -> None:
        assert harness.cancel.wait(10)
        time.sleep(0.1)
        future.set_exception(Cancelled("stopped"))

    def submit(step: Step, inputs: Mapping[str, Outcome], again: bool) -> Future[Outcome]:
        future = futures[step.recipe.name] = Future()
        if len(futures) == 3:
            running, failing, _ = futures.values()
            running.set_running_or_notify_cancel()
            threading.Thread(target=end_when_told, args=(running,)).start()
            failing.set_exception(StepError("it failed elsewhere"))
        return future

    harness.world.edit("tls", 'needs = ["musl"]', "needs = []")
    steps = topological_order(harness.world.plan("hello:secure"))
    pool = OtherPool(submit)
    with pytest.raises(StepError, match="it failed elsewhere"):
        run_plan(steps, harness.builder(), pool=pool, cancel=harness.cancel)
    running, _, pending = futures.values()
    assert running.done()
    assert pending.cancelled()
    assert harness.engine.ran == []


def test_rebuild_looks_at_no_result_of_the_named_recipes(harness: BuildHarness) -> None:
    build(harness)
    harness.engine.ran.clear()
    build(harness, rebuild=["hello"])
    assert sorted(harness.engine.ran) == sorted(name for name in EVERYTHING if "hello" in name)


def test_two_builds_that_want_the_same_step_run_it_once(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        time.sleep(0.05)
        return make_something(running)

    harness.engine.script = script
    results: list[dict[str, str]] = []

    def run() -> None:
        outcomes = by_slug(build(harness))
        results.append({slug: outcome.output for slug, outcome in outcomes.items()})

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(harness.engine.ran) == sorted(EVERYTHING)
    assert len(results) == 2
    assert results[0] == results[1]
    assert any("another run is at it" in note for note in harness.report.notes)


def test_who_waits_for_another_run_can_be_stopped(harness: BuildHarness) -> None:
    (step,) = [
        s for s in topological_order(harness.world.plan("hello:secure")) if s.recipe.name == "musl"
    ]
    builder = harness.builder()
    with harness.cache.lock(builder.key(step, {})):
        threading.Timer(0.2, harness.cancel.set).start()
        began = time.monotonic()
        with ThreadPoolExecutor() as pool, pytest.raises(Cancelled):
            pool.submit(builder.run, step, {}).result()
    assert time.monotonic() - began < 5
    assert harness.engine.ran == []


def test_a_stopped_step_is_no_success(harness: BuildHarness) -> None:
    assert Cancelled("x").code == ExitCode.STEP
    harness.cancel.set()
    with pytest.raises(Cancelled):
        build(harness)
    assert harness.engine.ran == []


HEAVY = 30 << 30


def heavy(harness: BuildHarness, *names: str) -> None:
    """Have the builds of these recipes take 30 GB each."""
    for name in names:
        kind = "tool" if name == "upx" else "library"
        harness.world.edit(name, f'kind = "{kind}"', f'kind = "{kind}"\nmemory = "30G"')


def most_at_a_time(
    harness: BuildHarness, *names: str, memory: MemoryBudget, together: int = 1
) -> int:
    """Build with room for many jobs; return how many steps of these recipes ran at the same time at most.

    Each waits until ``together`` of them have begun, however slow the machine is, or for 20 s.
    """
    now: set[str] = set()
    most: list[int] = [0]

    def script(running: Running) -> int:
        if running.step.startswith(names):
            now.add(running.step)
            time.sleep(0.1)
            most.append(len(now))
            deadline = time.monotonic() + 20
            while max(most) < together and time.monotonic() < deadline:
                time.sleep(0.01)
                most.append(len(now))
            now.remove(running.step)
        return make_something(running)

    harness.engine.script = script
    steps = topological_order(harness.world.plan("hello:secure"))
    harness.run(steps, jobs=8, memory=memory)
    return max(most)


def test_heavy_steps_wait_for_each_other_where_memory_is_short(harness: BuildHarness) -> None:
    harness.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(harness, "tls", "data", "upx")
    assert most_at_a_time(harness, "tls", "data", "upx", memory=MemoryBudget(budget=HEAVY + 1)) == 1
    assert sorted(harness.engine.ran) == sorted(EVERYTHING)


def test_heavy_steps_run_together_where_memory_allows(harness: BuildHarness) -> None:
    harness.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(harness, "tls", "data", "upx")
    assert (
        most_at_a_time(
            harness, "tls", "data", "upx", memory=MemoryBudget(budget=4 * HEAVY), together=3
        )
        == 3
    )


def test_a_step_larger_than_all_memory_runs_alone(harness: BuildHarness) -> None:
    heavy(harness, "musl", "tls", "data", "upx")
    every = ("musl", "tls", "data", "upx", "hello")
    assert most_at_a_time(harness, *every, memory=MemoryBudget(budget=1)) == 1
    assert sorted(harness.engine.ran) == sorted(EVERYTHING)


@pytest.mark.parametrize("slow", ["tls", "data"])
def test_the_step_with_the_longest_way_to_the_end_goes_first(
    harness: BuildHarness, slow: str
) -> None:
    def script(running: Running) -> int:
        time.sleep(1 if running.step.startswith(slow) else 0)
        return make_something(running)

    harness.engine.script = script
    harness.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(harness)
    harness.engine.ran.clear()
    # How long it takes is remembered for targets too that it was never built for.
    plan = harness.world.plan("hello:secure", target=Target.ARM64)
    harness.run(topological_order(plan))
    assert harness.engine.ran[:2] == ["musl-1.0-linux-arm64", f"{slow}-1.0-linux-arm64"]


def test_the_way_to_the_end_is_the_longest_one(harness: BuildHarness) -> None:
    steps = topological_order(harness.world.plan("hello:secure"))
    by_name = {step.slug.removesuffix("-linux-amd64"): step for step in steps}
    seconds = dict.fromkeys(steps, 1.0) | {by_name["tls-1.0"]: 5.0, by_name["upx-1.0"]: 20.0}
    ways = critical_paths(steps, seconds)
    assert ways[by_name["hello-secure-2.0-linux-amd64-pack"]] == 1
    assert ways[by_name["hello-secure-2.0"]] == 2
    assert ways[by_name["tls-1.0"]] == 7
    assert ways[by_name["upx-1.0"]] == 21
    assert ways[by_name["musl-1.0"]] == 22
    assert ways[by_name["data-1.0"]] == 3


def test_no_target_waits_for_another(harness: BuildHarness) -> None:
    """What one target's steps need is held up; the other target is built to its end meanwhile."""
    go_on = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("musl") and running.step.endswith("arm64"):
            assert go_on.wait(20)
        if running.step == "hello-plain-2.0-linux-amd64-pack":
            go_on.set()
        return make_something(running)

    harness.engine.script = script
    targets = (Target.ARM64, Target.AMD64)
    goals = [
        goal for target in targets for goal in harness.world.plan("hello:plain", target=target)
    ]
    done = harness.run(topological_order(goals), jobs=2)
    assert len(done) == 9
    assert go_on.is_set()


def test_what_is_lost_is_made_again_and_what_needs_it_has_another_turn(
    harness: BuildHarness,
) -> None:
    """A blob of a need goes between its making and its use, however good it was when it was looked up."""
    lost: list[str] = []

    def script(running: Running) -> int:
        if running.step.startswith("tls") and not lost:
            for entry in harness.cache.entries():
                if (harness.cache.get_action(entry.name) or {}).get("step", "").startswith("data"):
                    lost.append(str((harness.cache.get_action(entry.name) or {})["output"]))
            (harness.cache.root / "cas" / lost[0][:2] / lost[0]).unlink()
        return make_something(running)

    harness.engine.script = script
    steps = topological_order(harness.world.plan("hello:secure"))
    (data,) = [step for step in steps if step.recipe.name == "data"]
    harness.builder().run(data, {})  # so that it is found, not made
    harness.engine.ran.clear()
    outcomes = by_slug(build(harness, jobs=1))
    assert lost
    assert harness.engine.ran.count("data-1.0-linux-amd64") == 1
    assert harness.engine.ran.count("hello-secure-2.0-linux-amd64") == 1
    assert outcomes["data-1.0-linux-amd64"].output == lost[0]
    assert harness.cache.blob(lost[0])


def test_what_is_lost_again_and_again_is_an_error(harness: BuildHarness) -> None:
    begun: list[tuple[str, bool]] = []

    def submit(step: Step, inputs: Mapping[str, Outcome], again: bool) -> Future[Outcome]:
        begun.append((step.recipe.name, again))
        future: Future[Outcome] = Future()
        if step.recipe.name == "tls":
            names = [inputs["musl"].output]
            future.set_exception(LostInputs("what musl made is gone", names=names))
        else:
            future.set_result(harness.builder().run(step, inputs))
        return future

    steps = topological_order(harness.world.plan("hello:secure"))
    with pytest.raises(LostInputs, match="what musl made is gone"):
        run_plan(steps, harness.builder(), pool=OtherPool(submit), cancel=harness.cancel)
    assert [again for name, again in begun if name == "musl"] == [False, True, True]
    assert [again for name, again in begun if name == "tls"] == [False] * 3


def test_what_is_lost_and_was_made_by_nobody_is_an_error(harness: BuildHarness) -> None:
    def submit(step: Step, inputs: Mapping[str, Outcome], again: bool) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_exception(LostInputs("its source is gone", names=["a" * 64]))
        return future

    steps = topological_order(harness.world.plan("hello:secure"))
    pool = OtherPool(submit)
    with pytest.raises(LostInputs, match="its source is gone"):
        run_plan(steps, harness.builder(), pool=pool, cancel=harness.cancel)
    assert pool.open == 0


def test_the_pool_is_told_how_urgent_a_step_is(harness: BuildHarness) -> None:
    def submit(step: Step, inputs: Mapping[str, Outcome], again: bool) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_result(harness.builder().run(step, inputs))
        return future

    pool = OtherPool(submit)
    steps = topological_order(harness.world.plan("hello:secure"))
    run_plan(steps, harness.builder(), pool=pool, cancel=harness.cancel)
    assert pool.urgencies["musl-1.0-linux-amd64"] > pool.urgencies["hello-secure-2.0-linux-amd64"]
    assert (
        pool.urgencies["hello-secure-2.0-linux-amd64"]
        > pool.urgencies["hello-secure-2.0-linux-amd64-pack"]
    )
