"""What a run tells of itself: every step once, with what it took, in lanes that do not overlap."""

import itertools
import json
import time
from typing import Any

import pytest

from builders.engines.engine import Usage
from builders.plan import topological_order
from builders.schedule import run_plan
from core.errors import StepError
from tests.fakes import Context, Running, make_something

TOOK = Usage(cpu=0.25, rss=4 << 20)


def trace(context: Context, *names: str, jobs: int = 2) -> dict[str, Any]:
    context.engine.usage = TOOK
    builder = context.builder()
    try:
        run_plan(
            topological_order(context.world.plan(*names)),
            builder,
            jobs=jobs,
            cancel=context.cancel,
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


def test_every_step_is_told_of_with_what_it_took(context: Context) -> None:
    def script(running: Running) -> int:
        time.sleep(0.02)
        return make_something(running)

    context.engine.script = script
    whole = trace(context, "hello:plain")
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
    context: Context,
) -> None:
    found = spans(trace(context, "hello:plain", "hello:secure"))
    for one, other in itertools.combinations(found.values(), 2):
        first, second = sorted((one, other), key=lambda event: event["ts"])
        if first["tid"] == second["tid"]:
            assert first["ts"] + first["dur"] <= second["ts"]
    for event in found.values():
        for need in event["args"]["needs"]:
            before = found[need.replace(" linux/amd64", "")]
            assert before["ts"] + before["dur"] <= event["ts"]


def test_lanes_are_named_and_the_first_is_the_main_one(context: Context) -> None:
    whole = trace(context, "hello:secure")
    names = {e["tid"]: e["args"]["name"] for e in whole["traceEvents"] if e["ph"] == "M"}
    assert names[0] == "main"
    assert {event["tid"] for event in spans(whole).values()} <= names.keys()
    assert {event["pid"] for event in whole["traceEvents"]} == {1}


def test_what_was_cached_took_nothing_now_and_says_what_it_took_then(context: Context) -> None:
    before = spans(trace(context, "hello:plain"))
    after = spans(trace(context, "hello:plain"))
    assert after.keys() == before.keys()
    for event in after.values():
        assert event["dur"] == 0
        assert event["args"]["cached"] is True
        assert event["args"]["cpu"] is None
        assert event["args"]["then"]["cpu"] == 0.25
        assert event["args"]["then"]["seconds"] >= 0


def test_a_step_that_failed_is_told_of_too(context: Context) -> None:
    def script(running: Running) -> int:
        return 1 if running.step.endswith("checks") else make_something(running)

    context.engine.script = script
    builder = context.builder()
    with pytest.raises(StepError):
        run_plan(
            topological_order(context.world.plan("hello:plain")),
            builder,
            jobs=1,
            cancel=context.cancel,
        )
    found = spans(builder.timings.trace())
    assert found["hello 2.0 checks"]["args"] == {"failed": True}


def test_what_older_entries_of_the_cache_do_not_say_is_not_made_up(context: Context) -> None:
    trace(context, "hello:plain")
    for entry in context.cache.entries():
        value = context.cache.get_action(entry.name) if entry.kind == "action" else None
        if value and value.pop("usage", None):
            context.cache.put_action(entry.name, value)
    found = spans(trace(context, "hello:plain"))
    assert {event["args"]["then"]["cpu"] for event in found.values()} == {None}
