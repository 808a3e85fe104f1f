"""Records are read with suspicion: what this program writes comes back, all else is refused with a next step."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import RecipeError
from records.bench import BenchFigure, read_bench, remember_bench
from records.fill import (
    Check,
    Fill,
    Library,
    ObjectFile,
    Part,
    PartKind,
    Rest,
    Unowned,
    read_fill,
    write_fill,
)
from records.place import fill_path, has_fill
from records.rebuilds import Rebuild, Twice, read_rebuilds, remember_rebuild
from records.store import BadRecordError
from records.trace import merge, read_trace

NOW, LATER = "2026-11-28T12:00:00Z", "2026-11-29T12:00:00Z"
ONE, OTHER = "1" * 64, "2" * 64
PART = Part(name="f", size=3, kind=PartKind.CODE, guessed=False)
OBJECT = ObjectFile(name="a.o", size=5, parts=(PART,), more=Rest(count=1, size=2))
LIBRARY = Library(name="liba.a", recipe="a", size=5, objects=(OBJECT,))
FILL = Fill(
    file="hello",
    sha256=ONE,
    size=9,
    libraries=(LIBRARY,),
    unowned=(Unowned(name="padding", size=4, why="so"),),
    checks=(Check(name="http", size=2),),
    checks_note="of bytecode",
)


def twice(name: str, *, other: str = ONE) -> Twice:
    return Twice(
        product="hello",
        target="linux/amd64",
        packed=False,
        path=f"files/{name}",
        sha256=(ONE, other),
    )


def rebuild(when: str, *files: Twice) -> Rebuild:
    return Rebuild(when=when, varied={"engine": "docker -> host"}, files=files)


def bench_figure(name: str, value: float | None, when: str = NOW) -> BenchFigure:
    return BenchFigure(
        name=name,
        unit="ms",
        value=value,
        must=2.0,
        aim=None,
        state="ok",
        bar="met",
        reference="",
        why="",
        row="hello",
        column="HTTP, ms",
        when=when,
        machine="2 cores",
        quick=True,
    )


def span(name: str, key: str = ONE, **facts: Any) -> dict[str, Any]:
    args = {"key": key, "cached": False, "product": "hello", "target": "linux/amd64", **facts}
    found = {"name": name, "cat": "step", "ph": "X", "ts": 5, "dur": 7_000_000, "pid": 1, "tid": 1}
    return {**found, "args": args}


def found_again(name: str, key: str = ONE) -> dict[str, Any]:
    then = {"seconds": 7.0, "cpu": 6.5, "rss": 100, "memory": None}
    return {**span(name, key, cached=True, then=then), "dur": 0}


def trace(*spans: dict[str, Any], when: str = NOW) -> dict[str, Any]:
    """What one run writes."""
    lane = {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "step_0"}}
    about = {"version": 1, "cores": 2, "seconds": 9.5, "jobs": 3, "when": when}
    return {"traceEvents": [lane, *spans], "displayTimeUnit": "ms", "otherData": about}


def put(artifacts: Path, made: dict[str, Any]) -> None:
    (artifacts / "timings.json").write_text(json.dumps(made), "utf-8")


def run(artifacts: Path, made: dict[str, Any]) -> None:
    """Write as a build does that leaves its trace where it is usual."""
    put(artifacts, merge(made, artifacts))


# --- each record comes back ------------------------------------------------------------------------


def test_what_fills_a_file_comes_back_for_this_very_file_alone(tmp_path: Path) -> None:
    assert read_fill(tmp_path, "hello", ONE) is None
    assert not has_fill(tmp_path, "hello", ONE)
    write_fill(tmp_path, FILL)
    assert read_fill(tmp_path, "hello", ONE) == FILL
    assert has_fill(tmp_path, "hello", ONE)
    assert read_fill(tmp_path, "hello", OTHER) is None
    assert not has_fill(tmp_path, "hello", OTHER)


@pytest.mark.parametrize("size", [8, 10])
def test_numbers_that_do_not_add_up_cannot_be_written_down(size: int) -> None:
    with pytest.raises(BadRecordError, match="'hello' have 9 bytes together"):
        Fill(
            file="hello",
            sha256=ONE,
            size=size,
            libraries=FILL.libraries,
            unowned=FILL.unowned,
        )


def test_a_file_stands_in_its_newest_rebuild_alone(tmp_path: Path) -> None:
    assert read_rebuilds(tmp_path) == ()
    first = rebuild(NOW, twice("a"), twice("b", other=OTHER))
    remember_rebuild(tmp_path, first)
    assert read_rebuilds(tmp_path) == (first,)
    assert not first.equal
    second = rebuild(LATER, twice("b"))
    remember_rebuild(tmp_path, second)
    assert read_rebuilds(tmp_path) == (second, rebuild(NOW, twice("a")))
    third = rebuild(LATER, twice("a"), twice("b"))
    remember_rebuild(tmp_path, third)
    assert read_rebuilds(tmp_path) == (third,)


def test_a_figure_stays_until_it_is_measured_again(tmp_path: Path) -> None:
    assert read_bench(tmp_path) == ()
    a, b = bench_figure("a", 1.0), bench_figure("b", None)
    remember_bench(tmp_path, [a, b])
    assert read_bench(tmp_path) == (a, b)
    remember_bench(tmp_path, [bench_figure("a", None, LATER), bench_figure("b", 2.0, LATER)])
    assert read_bench(tmp_path) == (a, bench_figure("b", 2.0, LATER))


def test_a_warm_run_keeps_what_the_cold_one_took(tmp_path: Path) -> None:
    assert read_trace(tmp_path) is None
    run(tmp_path, trace(span("a", cpu=6.5, rss=100), span("b", OTHER, needs=["a"])))
    run(tmp_path, trace(found_again("a"), found_again("b", OTHER), when=LATER))
    found = read_trace(tmp_path)
    assert found is not None
    assert [(one.number, one.when, one.jobs) for one in found.runs] == [(1, LATER, 3), (2, NOW, 3)]
    now, cold = ([one for one in found.spans if one.run == number] for number in (1, 2))
    assert [(one.name, one.cached, one.seconds, one.took) for one in now] == [
        ("a", True, 0.0, 7.0),
        ("b", True, 0.0, 7.0),
    ]
    assert [(one.name, one.cached, one.took, one.lane) for one in cold] == [
        ("a", False, 7.0, "step_0"),
        ("b", False, 7.0, "step_0"),
    ]
    assert (cold[0].cpu, cold[0].rss, cold[0].memory) == (6.5, 100, None)
    assert (now[0].cpu, now[0].rss) == (6.5, 100)
    assert cold[1].needs == ("a",)
    # A third run that finds everything loses nothing, and repeats nothing.
    run(tmp_path, trace(found_again("a"), found_again("b", OTHER), when=LATER))
    again = read_trace(tmp_path)
    assert again is not None
    assert len(again.runs) == 2
    assert [one.name for one in again.spans if one.run == 2] == ["a", "b"]


def test_what_is_done_again_or_was_made_of_something_else_is_forgotten(tmp_path: Path) -> None:
    run(tmp_path, trace(span("a"), span("b"), span("c"), span("d")))
    run(tmp_path, trace(found_again("a"), span("b"), found_again("c", OTHER), when=LATER))
    found = read_trace(tmp_path)
    assert found is not None
    # `d` was not asked for: its file may still be there.
    assert [one.name for one in found.spans if one.run == 2] == ["a", "d"]


def test_a_verdict_that_was_only_looked_up_is_none(tmp_path: Path) -> None:
    made = {**span("a"), "cat": "verdict"}
    run(tmp_path, trace(made))
    run(tmp_path, trace({**made, "dur": 900}, when=LATER))
    found = read_trace(tmp_path)
    assert found is not None
    assert [(one.run, one.seconds) for one in found.spans] == [(1, 0.0009), (2, 7.0)]
    # A longer one was made again; one of another file, too.
    for dur, key in ((8_000_000, ONE), (5, OTHER)):
        again = {**made, "dur": dur, "args": {**made["args"], "key": key}}
        run(tmp_path, trace(again, when=LATER))
        newest = read_trace(tmp_path)
        assert newest is not None
        assert [(one.run, one.seconds) for one in newest.spans] == [(1, dur / 1e6)]


def test_failures_and_what_was_only_found_are_not_kept(tmp_path: Path) -> None:
    run(tmp_path, trace(span("a", failed=True), found_again("b")))
    run(tmp_path, trace(span("c"), when=LATER))
    found = read_trace(tmp_path)
    assert found is not None
    assert [one.name for one in found.spans] == ["c"]
    assert len(found.runs) == 1


def test_many_runs_are_not_kept_for_ever(tmp_path: Path) -> None:
    for number in range(50):
        run(tmp_path, trace(span(f"step {number}")))
    found = read_trace(tmp_path)
    assert found is not None
    assert [one.name for one in found.spans] == [f"step {n}" for n in range(49, 29, -1)]
    lanes = json.loads((tmp_path / "timings.json").read_text("utf-8"))["traceEvents"]
    names = [(e["pid"], e["tid"]) for e in lanes if e["name"] == "thread_name"]
    assert len({tid for _, tid in names}) == len(names)


def test_the_trace_of_an_older_version_is_read_and_kept(tmp_path: Path) -> None:
    old = trace(span("a"))
    del old["otherData"]["when"]
    put(tmp_path, old)
    found = read_trace(tmp_path)
    assert found is not None
    assert [(one.number, one.when) for one in found.runs] == [(1, "")]
    run(tmp_path, trace(found_again("a"), when=LATER))
    again = read_trace(tmp_path)
    assert again is not None
    assert [one.when for one in again.runs] == [LATER, ""]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"otherData": 1}', '{"traceEvents": []}'])
def test_a_damaged_trace_is_not_merged_and_loses_nothing_of_the_new_one(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "timings.json").write_text(text, "utf-8")
    run(tmp_path, trace(span("a")))
    found = read_trace(tmp_path)
    assert found is not None
    assert [one.name for one in found.spans] == ["a"]


# --- and nothing else does -------------------------------------------------------------------------

Reader = Callable[[Path], object]
RECORDS: dict[str, tuple[Callable[[Path], Path], Reader]] = {}


def _written_fill(artifacts: Path) -> Path:
    write_fill(artifacts, FILL)
    return fill_path(artifacts, "hello")


def _written_rebuilds(artifacts: Path) -> Path:
    remember_rebuild(artifacts, rebuild(NOW, twice("a"), twice("b", other=OTHER)))
    return artifacts / "rebuilds.json"


def _written_bench(artifacts: Path) -> Path:
    remember_bench(artifacts, [bench_figure("a", 1.0), bench_figure("b", None)])
    return artifacts / "bench.json"


def _written_trace(artifacts: Path) -> Path:
    run(artifacts, trace(span("a"), span("b", OTHER, needs=["a"])))
    run(artifacts, trace(found_again("a"), when=LATER))
    return artifacts / "timings.json"


RECORDS |= {
    "fill": (_written_fill, lambda artifacts: read_fill(artifacts, "hello", ONE)),
    "rebuilds": (_written_rebuilds, read_rebuilds),
    "bench": (_written_bench, read_bench),
    "trace": (_written_trace, read_trace),
}
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    10**400,
    "x",
    "x" * 5000,
    [],
    [1],
    {},
    {"a": 1},
    [[[]]],
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all that a record is made of."""
    found = [way] if way else []
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*way, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*way, index))
    return found


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_anything_in_the_place_of_anything_is_read_or_refused_and_never_a_traceback(
    tmp_path: Path, name: str
) -> None:
    write, read = RECORDS[name]
    path = write(tmp_path)
    good = path.read_text("utf-8")
    refused = 0
    for way in places(json.loads(good)):
        for value in HOSTILE:
            table = json.loads(good)
            inner = table
            for key in way[:-1]:
                inner = inner[key]
            inner[way[-1]] = value
            path.write_text(json.dumps(table), "utf-8")
            try:
                read(tmp_path)
            except RecipeError as error:
                refused += 1
                assert "inv clean" in error.next  # noqa: PT017 - what is not refused is as good
                assert len(error.what) < 1000  # noqa: PT017
    assert refused > 50


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    write, read = RECORDS[name]
    path = write(tmp_path)
    good = path.read_text("utf-8")
    for key in json.loads(good):
        table = json.loads(good)
        del table[key]
        path.write_text(json.dumps(table), "utf-8")
        if key != "displayTimeUnit":
            with pytest.raises(RecipeError, match="cannot be read"):
                read(tmp_path)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    write, read = RECORDS[name]
    path = write(tmp_path)
    good = path.read_bytes()
    chance = random.Random(1)
    for _ in range(40):
        path.write_bytes(good[: chance.randrange(len(good) - 1)])
        with pytest.raises(RecipeError, match="cannot be read"):
            read(tmp_path)
    path.write_bytes(b"\xff\xfe" + good)
    with pytest.raises(RecipeError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_link_in_the_place_of_a_record_is_not_followed(tmp_path: Path, name: str) -> None:
    write, read = RECORDS[name]
    path = write(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="not a plain file"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["rebuilds", "bench"])
def test_what_cannot_be_read_is_not_overwritten(tmp_path: Path, name: str) -> None:
    write, _ = RECORDS[name]
    path = write(tmp_path)
    path.write_text('{"version": 2}', "utf-8")
    with pytest.raises(RecipeError, match="not of version 1"):
        write(tmp_path)
    assert path.read_text("utf-8") == '{"version": 2}'


def test_a_rebuild_that_says_that_different_files_are_equal_is_refused(tmp_path: Path) -> None:
    path = _written_rebuilds(tmp_path)
    path.write_text(path.read_text("utf-8").replace('"equal": false', '"equal": true'), "utf-8")
    with pytest.raises(RecipeError, match="wrong thing"):
        read_rebuilds(tmp_path)
