"""Running a plan: what runs, what does not, in which order, and how it all ends."""

import os
import signal
import threading
import time
from collections.abc import Mapping

import pytest

from builders.build import Outcome
from builders.engines.engine import EngineName, Stopped
from builders.plan import Step, in_order
from builders.schedule import run_plan
from recipes.errors import EngineError, ExitCode, StepError
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
