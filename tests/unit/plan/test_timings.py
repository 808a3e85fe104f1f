"""What a run tells of itself: every step once, with what it took, in lanes that do not overlap."""

import itertools
import json
import time
from typing import Any

import pytest

from builders.engines.engine import Usage
from builders.plan import topological_order
from builders.pool import LocalPool
from builders.schedule import run_plan
from core.errors import StepError
from tests.fakes import BuildHarness, Running, make_something

TOOK = Usage(cpu=0.25, rss=4 << 20)


def trace(harness: BuildHarness, *names: str, jobs: int = 2) -> dict[str, Any]:
    harness.engine.usage = TOOK
    builder = harness.builder()
    try:
        run_plan(
            topological_order(harness.world.plan(*names)),
            builder,
            pool=LocalPool(builder, jobs=jobs),
            cancel=harness.cancel,
        )
    finally:
        whole: dict[str, Any] = json.loads(json.dumps(builder.timings.trace(jobs=jobs)))
    return whole


def spans(trace: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The spans by name; each name must be there once."""
    found = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    by_name = {event["name"].replace(" linux/amd64", ""): event for event in found}
    assert len(by_name) == len(found)
    return by_name


def test_every_step_is_told_of_with_what_it_took(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        time.sleep(0.02)
        return make_something(running)

    harness.engine.script = script
    whole = trace(harness, "hello:plain")
    found = spans(whole)
    assert found.keys() == {
        "musl 1.0",
        "upx 1.0",
        "hello 2.0 checks",
        "hello:plain 2.0",
        "hello:plain 2.0 pack",
    }
    for event in found.values():
        assert event["dur"] >= 20_000
        args = event["args"]
        assert (args["cpu"], args["rss"], args["memory"]) == (0.25, 4 << 20, None)
        assert (args["cached"], args["engine"], args["target"]) == (False, "sandbox", "linux/amd64")
        assert len(args["key"]) == 64
    packed = found["hello:plain 2.0 pack"]["args"]
    assert (packed["product"], packed["stage"]) == ("hello:plain", "pack")
    assert packed["needs"] == ["hello:plain 2.0 linux/amd64", "upx 1.0 linux/amd64"]
    assert whole["otherData"]["jobs"] == 2
    ended = max(event["ts"] + event["dur"] for event in found.values())
    assert round(whole["otherData"]["seconds"] * 1e6) >= ended


def test_steps_of_one_lane_do_not_overlap_and_need_nothing_that_ends_later(
    harness: BuildHarness,
) -> None:
    found = spans(trace(harness, "hello:plain", "hello:secure"))
    for one, other in itertools.combinations(found.values(), 2):
        first, second = sorted((one, other), key=lambda event: event["ts"])
        if first["tid"] == second["tid"]:
            assert first["ts"] + first["dur"] <= second["ts"]
    for event in found.values():
        for need in event["args"]["needs"]:
            before = found[need.replace(" linux/amd64", "")]
            assert before["ts"] + before["dur"] <= event["ts"]


def test_lanes_are_named_and_the_first_is_the_main_one(harness: BuildHarness) -> None:
    whole = trace(harness, "hello:secure")
    names = {e["tid"]: e["args"]["name"] for e in whole["traceEvents"] if e["ph"] == "M"}
    assert names[0] == "main"
    assert {event["tid"] for event in spans(whole).values()} <= names.keys()
    assert {event["pid"] for event in whole["traceEvents"]} == {1}


def test_what_was_cached_took_nothing_now_and_says_what_it_took_then(harness: BuildHarness) -> None:
    before = spans(trace(harness, "hello:plain"))
    after = spans(trace(harness, "hello:plain"))
    assert after.keys() == before.keys()
    for event in after.values():
        assert event["dur"] == 0
        assert event["args"]["cached"] is True
        assert event["args"]["cpu"] is None
        assert event["args"]["then"]["cpu"] == 0.25
        assert event["args"]["then"]["seconds"] >= 0


def test_a_step_that_failed_is_told_of_too(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        return 1 if running.step.endswith("checks") else make_something(running)

    harness.engine.script = script
    builder = harness.builder()
    with pytest.raises(StepError):
        run_plan(
            topological_order(harness.world.plan("hello:plain")),
            builder,
            pool=LocalPool(builder, jobs=1),
            cancel=harness.cancel,
        )
    found = spans(builder.timings.trace())
    assert found["hello 2.0 checks"]["args"] == {"failed": True}


def test_what_older_entries_of_the_cache_do_not_say_is_not_made_up(harness: BuildHarness) -> None:
    trace(harness, "hello:plain")
    for entry in harness.cache.entries():
        value = harness.cache.get_action(entry.name) if entry.kind == "action" else None
        if value and value.pop("usage", None):
            harness.cache.put_action(entry.name, value)
    found = spans(trace(harness, "hello:plain"))
    assert {event["args"]["then"]["cpu"] for event in found.values()} == {None}
