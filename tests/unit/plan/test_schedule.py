"""Running a plan: what runs, what does not, in which order, and how it all ends."""

import os
import signal
import threading
import time
from collections.abc import Mapping

import pytest

from builders.build import Outcome
from builders.engines.engine import EngineName, Stopped
from builders.memory import Memory
from builders.plan import Step, in_order
from builders.schedule import run_plan, ways_to_the_end
from recipes.errors import EngineError, ExitCode, StepError
from recipes.target import Target
from tests.fakes import Running, Workshop, below, make_something, wait_for_threads

EVERYTHING = {
    "data-1.0-linux-amd64",
    "hello-2.0-linux-amd64-checks",
    "hello-secure-2.0-linux-amd64",
    "hello-secure-2.0-linux-amd64-pack",
    "musl-1.0-linux-amd64",
    "tls-1.0-linux-amd64",
    "upx-1.0-linux-amd64",
}


def build(workshop: Workshop, *names: str, jobs: int = 4, **flags: object) -> dict[Step, Outcome]:
    steps = in_order(workshop.world.plan(*(names or ("hello:secure",))))
    builder = workshop.builder(**flags)  # type: ignore[arg-type]
    return run_plan(steps, builder, jobs=jobs, stop=workshop.stop)


def by_slug(outcomes: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {step.slug: outcome for step, outcome in outcomes.items()}


def test_everything_runs_once_and_is_told_of(workshop: Workshop) -> None:
    outcomes = build(workshop)
    assert sorted(workshop.engine.ran) == sorted(EVERYTHING)
    assert {step.slug for step in outcomes} == EVERYTHING
    assert sorted(workshop.report.started) == sorted(workshop.report.finished)
    assert workshop.engine.open_boxes == 0


def test_nothing_runs_again_and_no_engine_is_looked_for(workshop: Workshop) -> None:
    first = by_slug(build(workshop))
    steps = in_order(workshop.world.plan("hello:secure"))
    builder = workshop.builder()

    def no_engine() -> None:
        msg = "an engine was looked for"
        raise AssertionError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    again = by_slug(run_plan(steps, builder, jobs=4, stop=workshop.stop))
    assert len(workshop.engine.ran) == len(EVERYTHING)
    assert all(outcome.cached for outcome in again.values())
    assert {slug: one.output for slug, one in again.items()} == {
        slug: one.output for slug, one in first.items()
    }


def test_an_engine_by_another_name_finds_what_the_first_one_made(workshop: Workshop) -> None:
    build(workshop)
    workshop.engine.name, workshop.engine.isolated = EngineName.HOST, False
    again = by_slug(build(workshop))
    assert len(workshop.engine.ran) == len(EVERYTHING)
    # And it is still said that the bytes came out of a sandbox.
    assert {(outcome.engine, outcome.isolated) for outcome in again.values()} == {("sandbox", True)}


def test_only_what_changed_runs_again(workshop: Workshop) -> None:
    build(workshop)
    workshop.engine.ran.clear()
    # What it makes does not change, so that nothing after it has to run.
    (workshop.world.recipes / "tls" / "build.sh").write_text("# another way\n", "utf-8")
    build(workshop)
    assert workshop.engine.ran == ["tls-1.0-linux-amd64"]


def test_steps_that_do_not_need_each_other_run_at_the_same_time(workshop: Workshop) -> None:
    together = threading.Barrier(2)

    def script(running: Running) -> int:
        if running.step.startswith(("tls", "data")):
            together.wait(10)  # breaks, and fails the step, when the other one never comes
        return make_something(running)

    workshop.engine.script = script
    workshop.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(workshop, jobs=2)


def test_no_more_steps_than_jobs_run_at_the_same_time(workshop: Workshop) -> None:
    running_now: list[str] = []
    most: list[int] = []

    def script(running: Running) -> int:
        running_now.append(running.step)
        most.append(len(running_now))
        time.sleep(0.01)
        running_now.remove(running.step)
        return make_something(running)

    workshop.engine.script = script
    build(workshop, jobs=1)
    assert max(most) == 1


def test_a_step_has_what_it_needs_when_it_begins(workshop: Workshop) -> None:
    needs: dict[str, dict[str, bytes]] = {}

    def script(running: Running) -> int:
        needs[running.step] = below(running.folder / "needs")
        return make_something(running)

    workshop.engine.script = script
    build(workshop)
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


def test_the_first_failure_stops_the_others_and_is_what_is_told(workshop: Workshop) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("data"):
            assert begun.wait(10)
            return 3
        if running.step.startswith("musl"):
            begun.set()
            return running.until_stopped()
        return make_something(running)

    workshop.engine.script = script
    with pytest.raises(StepError, match=r"data 1\.0 linux/amd64 failed with exit code 3"):
        build(workshop, jobs=2)
    assert sorted(workshop.engine.ran) == ["data-1.0-linux-amd64", "musl-1.0-linux-amd64"]
    assert sorted(workshop.engine.ended) == sorted(workshop.engine.ran)
    assert workshop.engine.open_boxes == 0


def test_what_was_made_before_the_failure_is_kept(workshop: Workshop) -> None:
    def script(running: Running) -> int:
        return 1 if running.step.startswith("hello-secure") else make_something(running)

    workshop.engine.script = script
    with pytest.raises(StepError):
        build(workshop, jobs=1)
    workshop.engine.script, workshop.engine.ran = make_something, []
    workshop.stop.event.clear()
    build(workshop)
    assert "musl-1.0-linux-amd64" not in workshop.engine.ran
    assert "hello-secure-2.0-linux-amd64" in workshop.engine.ran


def test_ctrl_c_stops_every_step_and_leaves_nothing_running(workshop: Workshop) -> None:
    def script(running: Running) -> int:
        # As the terminal does: the signal reaches the thread that waits for the steps.
        os.kill(os.getpid(), signal.SIGINT)
        return running.until_stopped()

    workshop.engine.script = script
    with pytest.raises(KeyboardInterrupt):
        build(workshop, jobs=1)
    wait_for_threads("step")
    assert workshop.engine.ended == workshop.engine.ran
    assert workshop.engine.open_boxes == 0
    assert list((workshop.cache.root / "tmp").iterdir()) == []


def test_an_engine_that_cannot_be_had_is_told_once_as_what_it_is(workshop: Workshop) -> None:
    builder = workshop.builder()

    def no_engine() -> None:
        msg = "no engine works here"
        raise EngineError(msg)

    builder.engine._make = no_engine  # type: ignore[assignment]
    steps = in_order(workshop.world.plan("hello:secure"))
    with pytest.raises(EngineError, match="no engine works here"):
        run_plan(steps, builder, jobs=4, stop=workshop.stop)


def test_rebuild_looks_at_no_result_of_the_named_recipes(workshop: Workshop) -> None:
    build(workshop)
    workshop.engine.ran.clear()
    build(workshop, rebuild=["hello"])
    assert sorted(workshop.engine.ran) == sorted(name for name in EVERYTHING if "hello" in name)


def test_two_builds_that_want_the_same_step_run_it_once(workshop: Workshop) -> None:
    def script(running: Running) -> int:
        time.sleep(0.05)
        return make_something(running)

    workshop.engine.script = script
    results: list[dict[str, str]] = []

    def run() -> None:
        outcomes = by_slug(build(workshop))
        results.append({slug: outcome.output for slug, outcome in outcomes.items()})

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(workshop.engine.ran) == sorted(EVERYTHING)
    assert len(results) == 2
    assert results[0] == results[1]
    assert any("another run is at it" in note for note in workshop.report.notes)


def test_who_waits_for_another_run_can_be_stopped(workshop: Workshop) -> None:
    (step,) = [s for s in in_order(workshop.world.plan("hello:secure")) if s.recipe.name == "musl"]
    builder = workshop.builder()
    with workshop.cache.lock(builder.key(step, {})):
        threading.Timer(0.2, workshop.stop.event.set).start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            builder.run(step, {})
    assert time.monotonic() - began < 5
    assert workshop.engine.ran == []


def test_a_stopped_step_is_no_success(workshop: Workshop) -> None:
    assert Stopped("x").code == ExitCode.STEP
    workshop.stop.event.set()
    with pytest.raises(Stopped):
        build(workshop)
    assert workshop.engine.ran == []


HEAVY = 30 << 30


def heavy(workshop: Workshop, *names: str) -> None:
    """Have the builds of these recipes take 30 GB each."""
    for name in names:
        kind = "tool" if name == "upx" else "library"
        workshop.world.edit(name, f'kind = "{kind}"', f'kind = "{kind}"\nmemory = "30G"')


def most_at_a_time(workshop: Workshop, *names: str, memory: Memory) -> int:
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

    workshop.engine.script = script
    steps = in_order(workshop.world.plan("hello:secure"))
    run_plan(steps, workshop.builder(), jobs=8, stop=workshop.stop, memory=memory)
    return max(most)


def test_heavy_steps_wait_for_each_other_where_memory_is_short(workshop: Workshop) -> None:
    workshop.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(workshop, "tls", "data", "upx")
    assert most_at_a_time(workshop, "tls", "data", "upx", memory=Memory(budget=HEAVY + 1)) == 1
    assert sorted(workshop.engine.ran) == sorted(EVERYTHING)


def test_heavy_steps_run_together_where_memory_allows(workshop: Workshop) -> None:
    workshop.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    heavy(workshop, "tls", "data", "upx")
    assert most_at_a_time(workshop, "tls", "data", "upx", memory=Memory(budget=4 * HEAVY)) == 3


def test_a_step_larger_than_all_memory_runs_alone(workshop: Workshop) -> None:
    heavy(workshop, "musl", "tls", "data", "upx")
    every = ("musl", "tls", "data", "upx", "hello")
    assert most_at_a_time(workshop, *every, memory=Memory(budget=1)) == 1
    assert sorted(workshop.engine.ran) == sorted(EVERYTHING)


@pytest.mark.parametrize("slow", ["tls", "data"])
def test_the_step_with_the_longest_way_to_the_end_goes_first(workshop: Workshop, slow: str) -> None:
    def script(running: Running) -> int:
        time.sleep(0.2 if running.step.startswith(slow) else 0)
        return make_something(running)

    workshop.engine.script = script
    workshop.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    build(workshop)
    workshop.engine.ran.clear()
    # How long it takes is remembered for targets too that it was never built for.
    plan = workshop.world.plan("hello:secure", target=Target.ARM64)
    run_plan(in_order(plan), workshop.builder(), jobs=1, stop=workshop.stop)
    assert workshop.engine.ran[:2] == ["musl-1.0-linux-arm64", f"{slow}-1.0-linux-arm64"]


def test_the_way_to_the_end_is_the_longest_one(workshop: Workshop) -> None:
    steps = in_order(workshop.world.plan("hello:secure"))
    by_name = {step.slug.removesuffix("-linux-amd64"): step for step in steps}
    seconds = dict.fromkeys(steps, 1.0) | {by_name["tls-1.0"]: 5.0, by_name["upx-1.0"]: 20.0}
    ways = ways_to_the_end(steps, seconds)
    assert ways[by_name["hello-secure-2.0-linux-amd64-pack"]] == 1
    assert ways[by_name["hello-secure-2.0"]] == 2
    assert ways[by_name["tls-1.0"]] == 7
    assert ways[by_name["upx-1.0"]] == 21
    assert ways[by_name["musl-1.0"]] == 22
    assert ways[by_name["data-1.0"]] == 3


def test_no_target_waits_for_another(workshop: Workshop) -> None:
    """What one target's steps need is held up; the other target is built to its end meanwhile."""
    go_on = threading.Event()

    def script(running: Running) -> int:
        if running.step.startswith("musl") and running.step.endswith("arm64"):
            assert go_on.wait(20)
        if running.step == "hello-plain-2.0-linux-amd64-pack":
            go_on.set()
        return make_something(running)

    workshop.engine.script = script
    targets = (Target.ARM64, Target.AMD64)
    wanted = [
        one for target in targets for one in workshop.world.plan("hello:plain", target=target)
    ]
    done = run_plan(in_order(wanted), workshop.builder(), jobs=2, stop=workshop.stop)
    assert len(done) == 9
    assert go_on.is_set()
