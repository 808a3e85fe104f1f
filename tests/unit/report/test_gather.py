"""What records say, and what is said where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RecipeError, UsageError
from records.bench import BenchFigure
from records.trace import Trace, read_trace
from report.costs import costs
from report.critical import Task, critical_path
from report.data import Before
from report.previous import read_previous
from report.runs import runs, troubles
from tests import reports

Event = dict[str, Any]


def event(name: str, cat: str, ts: float, dur: float, *, tid: int = 1, **args: Any) -> Event:
    times = {"ts": round(ts * 1e6), "dur": round(dur * 1e6)}
    return {"name": name, "cat": cat, "ph": "X", "pid": 1, "tid": tid, **times, "args": args}


def step(name: str, ts: float, dur: float, *, tid: int = 1, **args: Any) -> Event:
    about = {"stage": "build", "product": name.partition(" ")[0], "target": "linux/amd64"}
    return event(name, "step", ts, dur, tid=tid, **{**about, "needs": [], **args})


def trace(directory: Path, *events: Event) -> Trace:
    """What is read of a file with these events."""
    lanes = [
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": it, "args": {"name": f"step_{it}"}}
        for it in (1, 2)
    ]
    about = {"version": 1, "cores": 2, "jobs": 2, "seconds": 30.0}
    text = json.dumps({"traceEvents": [*lanes, *events], "otherData": about})
    (directory / "timings.json").write_text(text, "utf-8")
    found = read_trace(directory)
    assert found
    return found


def test_the_critical_path_is_what_each_waited_for(tmp_path: Path) -> None:
    (run,) = runs(
        trace(
            tmp_path,
            step("musl 1", 0, 10),
            step("zlib 1", 0, 4, tid=2),
            step("curl 1", 10, 8, needs=["musl 1", "zlib 1"]),
            event("curl-1", "verdict", 18, 1, tid=2, product="curl", target="linux/amd64"),
            event("curl-1", "smoke", 19, 1, tid=2, product="curl", target="linux/amd64"),
        )
    )
    path = {(it.kind, it.name) for it in run.spans if it.critical}
    assert path == {
        ("build", "musl 1"),
        ("build", "curl 1"),
        ("verdict", "curl-1"),
        ("smoke", "curl-1"),
    }


def test_a_busy_worker_is_waited_for_too() -> None:
    tasks = (
        Task(name="long", lane="a", began=0, ended=9),
        Task(name="short", lane="b", began=0, ended=2),
        Task(name="last", lane="a", began=9, ended=10, needs=["short"]),
    )
    assert critical_path(tasks) == {"long", "last"}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.sampled_from("ab")), max_size=12)
)
def test_any_tasks_have_a_path_that_ends_with_the_last_one(
    found: list[tuple[int, int, str]],
) -> None:
    tasks = [
        Task(name=str(n), lane=lane, began=began, ended=began + took, needs=[str(n - 1), str(n)])
        for n, (began, took, lane) in enumerate(found)
    ]
    path = critical_path(tasks)
    assert bool(path) == bool(tasks)
    if tasks:
        last = max(task.ended for task in tasks)
        assert any(task.name in path for task in tasks if task.ended == last)


def test_a_cached_step_is_told_apart_with_what_it_took_then(tmp_path: Path) -> None:
    then = {"seconds": 22.0, "cpu": 11.1, "rss": 1000, "memory": None}
    (run,) = runs(
        trace(
            tmp_path, step("musl 1", 1, 0, cached=True, cpu=None, rss=None, memory=None, then=then)
        )
    )
    (span,) = run.spans
    assert (span.cached, span.critical, span.seconds) == (True, False, 22.0)
    assert (span.cpu, span.memory) == (11.1, 1000)


def test_what_was_refused_or_failed_is_found(tmp_path: Path) -> None:
    about: dict[str, Any] = {"product": "curl:full", "target": "linux/amd64"}
    found = troubles(
        trace(
            tmp_path,
            step("zlib 1", 0, 1, failed=True),
            event("a", "verdict", 1, 1, ok=False, **about),
            event("b", "verdict", 1, 1, ok=True, **about),
            event("b", "smoke", 2, 1, ran=True, ok=False, **about),
            event("c", "smoke", 2, 1, ran=False, ok=False, **about),
            event("c 1", "fetch", 2, 1, failed=True),
        )
    )
    assert [(it.name, it.what) for it in found] == [
        ("zlib 1", "step failed"),
        ("a", "refused"),
        ("b", "smoke run failed"),
        ("c 1", "fetch failed"),
    ]


def figure(row: str, column: str, value: float | None) -> BenchFigure:
    told = dict.fromkeys(("unit", "state", "bar", "reference", "why"), "")
    return BenchFigure(
        name=f"{row} {column}",
        value=value,
        must=None,
        aim=None,
        row=row,
        column=column,
        when=reports.MADE,
        machine="2 cores",
        quick=False,
        **told,
    )


def test_costs_are_of_programs_ours_first_with_their_anchors() -> None:
    found = list(
        costs(
            [
                figure("Rust twin", "plain", 1000),
                figure("Rust twin", "HTTP, ms", 0.9),
                figure("curl:https", "plain", 700),
                figure("curl:https", "anchors", 50),
                figure("curl:https", "HTTP, ms", 0.7),
                figure("Debian's curl", "HTTP, ms", 6.0),
                figure("curl:h2", "HTTP, ms", None),
                figure("floor", "calls", 3),
                figure("", "plain", 3),
            ],
            {"curl:https"},
        )
    )
    assert [(it.name, it.ours, it.size, it.cpu) for it in found] == [
        ("curl:https", True, 750, 0.7),
        ("Debian's curl", False, None, 6.0),
        ("Rust twin", False, 1000, 0.9),
    ]


def test_a_release_is_read_by_its_names(tmp_path: Path) -> None:
    for name in (
        "curl-http-8.22.0-linux-amd64",
        "curl-http-8.22.0-r1-linux-arm-v7.upx",
        "curl-http-8.22.0-linux-amd64.cdx.json",
        "probe-full-0.1.0-linux-arm64",
        "other-1.0-linux-amd64",
        "SHA256SUMS",
    ):
        (tmp_path / name).write_bytes(b"x" * len(name))
    found = read_previous(tmp_path, ["curl:http", "curl:h2", "probe:full", "probe:mini"])
    assert found == {
        ("curl:http", "linux/amd64", False): Before(release="8.22.0", size=28),
        ("curl:http", "linux/arm/v7", True): Before(release="8.22.0-r1", size=36),
        ("probe:full", "linux/arm64", False): Before(release="0.1.0", size=28),
    }


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_nothing_to_compare_with_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as error:
        read_previous(tmp_path / name, ["curl:http"])
    assert name in error.value.what
    assert error.value.next


def test_a_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "artifacts": [{}]}))
    with pytest.raises(RecipeError):
        read_previous(tmp_path / "manifest.json", ["curl:http"])
