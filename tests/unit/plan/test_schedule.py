"""Running a plan: what runs, what does not, in which order, and how it all ends."""

import os
import signal
import threading
import time
from collections.abc import Mapping

import pytest

from builders.build import Outcome
from builders.memory import Memory
from builders.plan import Step, topological_order
from builders.schedule import critical_paths, run_plan
from core.cancel import Cancelled
from core.errors import EngineError, ExitCode, StepError
from core.target import Target
from tests.fakes import Context, Running, below, make_something, wait_for_threads

EVERYTHING = {
    "data-1.0-linux-amd64",
    "hello-2.0-linux-amd64-checks",
    "hello-secure-2.0-linux-amd64",
    "hello-secure-2.0-linux-amd64-pack",
    "musl-1.0-linux-amd64",
    "tls-1.0-linux-amd64",
    "upx-1.0-linux-amd64",
}


def build(context: Context, *names: str, jobs: int = 4, **flags: object) -> dict[Step, Outcome]:
    steps = topological_order(context.world.plan(*(names or ("hello:secure",))))
    builder = context.builder(**flags)  # type: ignore[arg-type]
    return run_plan(steps, builder, jobs=jobs, cancel=context.cancel)


def by_slug(outcomes: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {step.slug: outcome for step, outcome in outcomes.items()}


def test_everything_runs_once_and_is_told_of(context: Context) -> None:
    outcomes = build(context)
    assert sorted(context.engine.ran) == sorted(EVERYTHING)
    assert {step.slug for step in outcomes} == EVERYTHING
    assert sorted(context.report.started) == sorted(context.report.finished)
    assert context.engine.open_sandboxes == 0


def test_nothing_runs_again_and_no_engine_is_looked_for(context: Context) -> None:
    first = by_slug(build(context))
    steps = topological_order(context.world.plan("hello:secure"))
    builder = context.builder()

    def no_engine() -> None:
        msg = "an engine was looked for"
        raise AssertionError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    again = by_slug(run_plan(steps, builder, jobs=4, cancel=context.cancel))
    assert len(context.engine.ran) == len(EVERYTHING)
    assert all(outcome.cached for outcome in again.values())
    assert {slug: one.output for slug, one in again.items()} == {
        slug: one.output for slug, one in first.items()
    }


def test_an_engine_by_another_name_finds_what_the_first_one_made(context: Context) -> None:
    build(context)
    context.engine.name, context.engine.isolated = "host", False
    again = by_slug(build(context))
    assert len(context.engine.ran) == len(EVERYTHING)
    # And it is still said that the bytes came out of a sandbox.
    assert {(outcome.engine, outcome.isolated) for outcome in again.values()} == {("sandbox", True)}


def test_only_what_changed_runs_again(context: Context) -> None:
    build(context)
    context.engine.ran.clear()
    # What it makes does not change, so that nothing after it has to run.
    (context.world.recipes / "tls" / "build.sh").write_text("# another way\n", "utf-8")
    build(context)
    assert context.engine.ran == ["tls-1.0-linux-amd64"]


def test_steps_that_do_not_need_each_other_run_at_the_same_time(context: Context) -> None:
    together = threading.Barrier(2)

    def script(running: Running) -> int:
        if running.step.startswith(("tls", "data")):
            together.wait(10)  # breaks, and fails the step, when the other one never comes
        return make_something(running)

    context.engine.script = script
    context.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(context, jobs=2)


def test_no_more_steps_than_jobs_run_at_the_same_time(context: Context) -> None:
    running_now: list[str] = []
    most: list[int] = []

    def script(running: Running) -> int:
        running_now.append(running.step)
        most.append(len(running_now))
        time.sleep(0.01)
        running_now.remove(running.step)
        return make_something(running)

    context.engine.script = script
    build(context, jobs=1)
    assert max(most) == 1


def test_a_step_has_what_it_needs_when_it_begins(context: Context) -> None:
    needs: dict[str, dict[str, bytes]] = {}

    def script(running: Running) -> int:
        needs[running.step] = below(running.directory / "needs")
        return make_something(running)

    context.engine.script = script
    build(context)
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


def test_the_first_failure_stops_the_others_and_is_what_is_told(context: Context) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("data"):
            assert begun.wait(10)
            return 3
        if running.step.startswith("musl"):
            begun.set()
            return running.until_stopped()
        return make_something(running)

    context.engine.script = script
    with pytest.raises(StepError, match=r"data 1\.0 linux/amd64 failed with exit code 3"):
        build(context, jobs=2)
    assert sorted(context.engine.ran) == ["data-1.0-linux-amd64", "musl-1.0-linux-amd64"]
    assert sorted(context.engine.ended) == sorted(context.engine.ran)
    assert context.engine.open_sandboxes == 0


def test_what_was_made_before_the_failure_is_kept(context: Context) -> None:
    def script(running: Running) -> int:
        return 1 if running.step.startswith("hello-secure") else make_something(running)

    context.engine.script = script
    with pytest.raises(StepError):
        build(context, jobs=1)
    context.engine.script, context.engine.ran = make_something, []
    context.cancel.event.clear()
    build(context)
    assert "musl-1.0-linux-amd64" not in context.engine.ran
    assert "hello-secure-2.0-linux-amd64" in context.engine.ran


def test_ctrl_c_stops_every_step_and_leaves_nothing_running(context: Context) -> None:
    def script(running: Running) -> int:
        # As the terminal does: the signal reaches the thread that waits for the steps.
        os.kill(os.getpid(), signal.SIGINT)
        return running.until_stopped()

    context.engine.script = script
    with pytest.raises(KeyboardInterrupt):
        build(context, jobs=1)
    wait_for_threads("step")
    assert context.engine.ended == context.engine.ran
    assert context.engine.open_sandboxes == 0
    assert list((context.cache.root / "tmp").iterdir()) == []


def test_an_engine_that_cannot_be_had_is_told_once_as_what_it_is(context: Context) -> None:
    builder = context.builder()

    def no_engine() -> None:
        msg = "no engine works here"
        raise EngineError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    steps = topological_order(context.world.plan("hello:secure"))
    with pytest.raises(EngineError, match="no engine works here"):
        run_plan(steps, builder, jobs=4, cancel=context.cancel)


def test_rebuild_looks_at_no_result_of_the_named_recipes(context: Context) -> None:
    build(context)
    context.engine.ran.clear()
    build(context, rebuild=["hello"])
    assert sorted(context.engine.ran) == sorted(name for name in EVERYTHING if "hello" in name)


def test_two_builds_that_want_the_same_step_run_it_once(context: Context) -> None:
    def script(running: Running) -> int:
        time.sleep(0.05)
        return make_something(running)

    context.engine.script = script
    results: list[dict[str, str]] = []

    def run() -> None:
        outcomes = by_slug(build(context))
        results.append({slug: outcome.output for slug, outcome in outcomes.items()})

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(context.engine.ran) == sorted(EVERYTHING)
    assert len(results) == 2
    assert results[0] == results[1]
    assert any("another run is at it" in note for note in context.report.notes)


def test_who_waits_for_another_run_can_be_stopped(context: Context) -> None:
    (step,) = [
        s for s in topological_order(context.world.plan("hello:secure")) if s.recipe.name == "musl"
    ]
    builder = context.builder()
    with context.cache.lock(builder.key(step, {})):
        threading.Timer(0.2, context.cancel.cancel).start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            builder.run(step, {})
    assert time.monotonic() - began < 5
    assert context.engine.ran == []


def test_a_stopped_step_is_no_success(context: Context) -> None:
    assert Cancelled("x").code == ExitCode.STEP
    context.cancel.cancel()
    with pytest.raises(Cancelled):
        build(context)
    assert context.engine.ran == []


HEAVY = 30 << 30


def heavy(context: Context, *names: str) -> None:
    """Have the builds of these recipes take 30 GB each."""
    for name in names:
        kind = "tool" if name == "upx" else "library"
        context.world.edit(name, f'kind = "{kind}"', f'kind = "{kind}"\nmemory = "30G"')


def most_at_a_time(context: Context, *names: str, memory: Memory) -> int:
    """Build with room for many jobs; return how many steps of these recipes ran at the same time at most."""
    now: set[str] = set()
    most: list[int] = [0]

    def script(running: Running) -> int:
        if running.step.startswith(names):
            now.add(running.step)
            time.sleep(0.1)
            most.append(len(now))
            now.remove(running.step)
        return make_something(running)

    context.engine.script = script
    steps = topological_order(context.world.plan("hello:secure"))
    run_plan(steps, context.builder(), jobs=8, cancel=context.cancel, memory=memory)
    return max(most)


def test_heavy_steps_wait_for_each_other_where_memory_is_short(context: Context) -> None:
    context.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(context, "tls", "data", "upx")
    assert most_at_a_time(context, "tls", "data", "upx", memory=Memory(budget=HEAVY + 1)) == 1
    assert sorted(context.engine.ran) == sorted(EVERYTHING)


def test_heavy_steps_run_together_where_memory_allows(context: Context) -> None:
    context.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(context, "tls", "data", "upx")
    assert most_at_a_time(context, "tls", "data", "upx", memory=Memory(budget=4 * HEAVY)) == 3


def test_a_step_larger_than_all_memory_runs_alone(context: Context) -> None:
    heavy(context, "musl", "tls", "data", "upx")
    every = ("musl", "tls", "data", "upx", "hello")
    assert most_at_a_time(context, *every, memory=Memory(budget=1)) == 1
    assert sorted(context.engine.ran) == sorted(EVERYTHING)


@pytest.mark.parametrize("slow", ["tls", "data"])
def test_the_step_with_the_longest_way_to_the_end_goes_first(context: Context, slow: str) -> None:
    def script(running: Running) -> int:
        time.sleep(0.2 if running.step.startswith(slow) else 0)
        return make_something(running)

    context.engine.script = script
    context.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(context)
    context.engine.ran.clear()
    # How long it takes is remembered for targets too that it was never built for.
    plan = context.world.plan("hello:secure", target=Target.ARM64)
    run_plan(topological_order(plan), context.builder(), jobs=1, cancel=context.cancel)
    assert context.engine.ran[:2] == ["musl-1.0-linux-arm64", f"{slow}-1.0-linux-arm64"]


def test_the_way_to_the_end_is_the_longest_one(context: Context) -> None:
    steps = topological_order(context.world.plan("hello:secure"))
    by_name = {step.slug.removesuffix("-linux-amd64"): step for step in steps}
    seconds = dict.fromkeys(steps, 1.0) | {by_name["tls-1.0"]: 5.0, by_name["upx-1.0"]: 20.0}
    ways = critical_paths(steps, seconds)
    assert ways[by_name["hello-secure-2.0-linux-amd64-pack"]] == 1
    assert ways[by_name["hello-secure-2.0"]] == 2
    assert ways[by_name["tls-1.0"]] == 7
    assert ways[by_name["upx-1.0"]] == 21
    assert ways[by_name["musl-1.0"]] == 22
    assert ways[by_name["data-1.0"]] == 3


def test_no_target_waits_for_another(context: Context) -> None:
    """What one target's steps need is held up; the other target is built to its end meanwhile."""
    go_on = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("musl") and running.step.endswith("arm64"):
            assert go_on.wait(20)
        if running.step == "hello-plain-2.0-linux-amd64-pack":
            go_on.set()
        return make_something(running)

    context.engine.script = script
    targets = (Target.ARM64, Target.AMD64)
    goals = [one for target in targets for one in context.world.plan("hello:plain", target=target)]
    done = run_plan(topological_order(goals), context.builder(), jobs=2, cancel=context.cancel)
    assert len(done) == 9
    assert go_on.is_set()
