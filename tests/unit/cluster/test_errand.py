"""What is sent to a worker: read with suspicion, and called the same by everybody who wants the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from builders.memory import COMPILER, Load
from core.errors import StepError
from core.kinds import EntryKind
from flow.cluster.dask_pool import Workers
from flow.cluster.errand import Errand
from flow.cluster.workshop import SIGNS

ERRAND = Errand(kind=EntryKind.ACTION, key="a" * 64, name="musl 1.0", data="{}")


def test_what_is_written_is_what_is_read() -> None:
    for errand in (ERRAND, replace(ERRAND, again=True), replace(ERRAND, kind=EntryKind.SMOKE)):
        assert Errand.read(errand.text()) == errand


def test_the_same_has_the_same_name_for_everybody() -> None:
    assert ERRAND.id == f"step-{'a' * 64}"
    others = [
        replace(ERRAND, again=True),
        *(replace(ERRAND, kind=k) for k in EntryKind if k != "action"),
    ]
    assert len({one.id for one in [ERRAND, *others]}) == len(others) + 1


BAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "a kind that nobody runs": lambda e: e.update(kind="took"),
    "an unknown kind": lambda e: e.update(kind="x"),
    "a key that is a path": lambda e: e.update(key="../x"),
    "a key that is a number": lambda e: e.update(key=1),
    "data that is no text": lambda e: e.update(data={}),
    "a name that is no text": lambda e: e.update(name=None),
    "a field more": lambda e: e.update(more=1),
    "a field less": lambda e: e.pop("data"),
}


@pytest.mark.parametrize("what", BAD)
def test_nothing_else_is_read(what: str) -> None:
    table = json.loads(ERRAND.text())
    BAD[what](table)
    with pytest.raises(StepError, match="is no errand"):
        Errand.read(json.dumps(table))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, " " * (3 << 20)])
def test_what_is_nothing_at_all_is_not_read(text: str) -> None:
    with pytest.raises(StepError, match="is no errand"):
        Errand.read(text)


def worker(name: str, **resources: float) -> dict[str, Any]:
    return {"name": name, "resources": resources}


def test_only_those_count_that_can_run_it_and_are_trusted() -> None:
    key = f"{SIGNS}RWgood"
    info = {
        "workers": {
            "a": worker("one", **{"ours": 2, "jobs": 2, "memory": 8e9, "cores": 4, key: 1}),
            "b": worker("two", **{"ours": 1, "jobs": 1, "memory": 4e9, "cores": 2, key: 1}),
            "c": worker("old", **{"theirs": 8, "jobs": 8, "memory": 64e9, "cores": 64, key: 1}),
            "d": worker("odd", **{"ours": 8, "jobs": 8, "memory": 64e9, f"{SIGNS}RWbad": 1}),
        }
    }
    found = Workers.of(info, "ours", {"RWgood"})
    assert (found.slots, found.places, found.cores) == (3, ("a", "b"), 4)
    assert found.strangers == {"odd": "RWbad"}
    assert found.room(Load(program=1, parallel=True)) == 4 * COMPILER  # as many as JOBS says there
    assert found.room(Load(program=16 << 30, parallel=False)) == 8e9  # alone, on the largest
    assert Workers.of({}, "ours", {"RWgood"}).slots == 0
