"""The trace of a whole run: sources, steps, verdicts and smoke runs."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.target import Target
from flow.build import Request, build
from tests.unit.flow.conftest import FakeEnvironment, Harness

PRODUCTS = ("hello:plain", "hello:secure")


def traced(harness: Harness, path: Path | None = None) -> dict[str, Any]:
    context = harness.context(jobs="2")
    build(context, Request(products=PRODUCTS, targets=(Target.AMD64,)))
    context.write_timings(path)
    trace: dict[str, Any] = json.loads(
        (path or harness.artifacts / "timings.json").read_text("utf-8")
    )
    return trace


def spans(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


def test_all_that_is_done_is_in_the_trace(harness: Harness) -> None:
    harness.environment = FakeEnvironment()
    trace = traced(harness)
    found = spans(trace)
    # Five sources; musl, tls, data, upx, the checks, and two programs with their packed forms.
    assert Counter(event["cat"] for event in found) == {
        "fetch": 5,
        "step": 9,
        "verdict": 4,
        "smoke": 4,
    }
    for event in found:
        assert event["ts"] >= 0
        assert event["dur"] >= 0
    smoke = next(event["args"] for event in found if event["cat"] == "smoke")
    assert smoke["how"] == "sandbox"
    assert (smoke["ok"], smoke["cached"]) == (True, False)
    lanes = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"}
    assert {lanes[e["tid"]].partition("_")[0] for e in found if e["cat"] == "smoke"} == {"verify"}
    for lane in lanes:
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in found if e["tid"] == lane)
        assert all(end <= after for (_, end), (after, _) in pairwise(mine))


def test_a_second_run_took_nothing(harness: Harness, tmp_path: Path) -> None:
    harness.environment = FakeEnvironment()
    traced(harness)
    found = spans(traced(harness, tmp_path / "second.json"))
    for event in found:
        if event["cat"] != "verdict":
            assert (event["args"]["cached"], event["dur"]) == (True, 0)
    assert sum(event["cat"] == "step" for event in found) == 9
