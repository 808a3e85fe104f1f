"""How long each step and proof takes, from what was run: kept in a file, so that a schedule can be tried on paper.

Seconds are those of a worker with one core. Of a step that is its CPU time, which a busy machine stretches least, and
wall clock only where that is all that is known. Of a verdict or a smoke run it is wall clock: some wait on purpose, and
hold their place meanwhile.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from builders.build import UNKNOWN
from builders.outcome import Outcome
from builders.plan import Goal, Step, topological_order
from builders.sources.cache import Cache
from builders.sources.entry import seconds_of
from builders.sources.fetch import Fetched
from builders.timings import EventKind, Timings
from core.errors import UsageError
from core.files import write_file
from core.kinds import EntryKind
from flow.context import ROOT, Context
from flow.verification import BuildRun, ServerPool, Verifier
from recipes.model import PACKED
from verify.results import ResultCache

RECORD: Final = ROOT / "bench" / "seconds.json"
VERSION: Final = 1
KNOWN: Final = 0.002
"""Seconds: a verdict that took less was not made, but found."""


class Task(NamedTuple):
    """What takes time."""

    product: str
    kind: str
    """The stage of a step, or `proof_kind`."""
    target: str

    @classmethod
    def of(cls, step: Step) -> "Task":
        return cls(step.product, step.stage.value, step.target.value)


def proof_kind(kind: EventKind, *, packed: bool) -> str:
    """What a verdict or a smoke run is called, of a plain file or of a packed one."""
    return f"{kind.value} packed" if packed else kind.value


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """What each thing takes, as far as that is known."""

    known: Mapping[Task, float]
    usual: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By product and kind, whatever target that was for: what a cache remembers of the last run."""

    def of(self, task: Task) -> tuple[float, bool]:
        """Return the seconds, and whether they are an estimate.

        Without a record: the median of the product's targets, its last run, the median of all of that kind.
        """
        if task in self.known:
            return self.known[task], False
        if found := self._medians.get((task.product, task.kind)):
            return found, True
        if (usual := self.usual.get((task.product, task.kind))) is not None:
            return usual, True
        return self._medians.get(("", task.kind), UNKNOWN), True

    @property
    def _medians(self) -> Mapping[tuple[str, str], float]:
        """By product and kind; of all products under no name. Made once."""
        kept = vars(self).get("_kept")
        if kept is None:
            found: dict[tuple[str, str], list[float]] = defaultdict(list)
            for task, seconds in self.known.items():
                found[task.product, task.kind].append(seconds)
                found["", task.kind].append(seconds)
            kept = {name: statistics.median(values) for name, values in found.items()}
            vars(self)["_kept"] = kept
        return kept

    def over(self, other: "Seconds") -> "Seconds":
        """Return both; where both know something, this one is right."""
        return Seconds(
            known={**other.known, **self.known},
            usual={**other.usual, **self.usual},
        )


def read_record(path: Path = RECORD) -> Seconds:
    """Read what `write_record` wrote; nothing is known when there is no file. Raises UsageError."""
    if not path.is_file():
        return Seconds(known={})
    return Seconds(known=_known(_loaded(path), path))


def write_record(seconds: Seconds, *, about: str, path: Path = RECORD) -> None:
    """Keep what is known; ``about`` says of what machine."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for task, taken in sorted(seconds.known.items()):
        table.setdefault(task.product, {}).setdefault(task.kind, {})[task.target] = round(taken, 3)
    whole = {"version": VERSION, "date": f"{datetime.now(UTC):%Y-%m-%d}", "about": about}
    write_file(path, f"{json.dumps({**whole, 'seconds': table}, indent=1)}\n".encode())


def read_trace(path: Path) -> Seconds:
    """Read what ``--timings`` wrote. Raises UsageError when it is none."""
    return traced(_loaded(path), path)


def traced(trace: Mapping[str, Any], path: Path) -> Seconds:
    """Return what a trace knows: of what was not run in it, what it took when it was made."""
    try:
        events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
        # What a worker says of a proof: how long the client waited for it is something else.
        remote = {
            (event["cat"], event["args"]["key"]): event["dur"] / 1e6
            for event in events
            if "worker" in event["args"] and "product" not in event["args"]
        }
        found: dict[Task, float] = {}
        for event in events:
            if taken := _taken(event, remote):
                found[taken[0]] = taken[1]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_record(path) from error
    return Seconds(known=found)


def _taken(
    event: Mapping[str, Any], remote: Mapping[tuple[str, str], float]
) -> tuple[Task, float] | None:
    facts = event["args"]
    if "product" not in facts or facts.get("failed"):
        return None
    match EventKind(event["cat"]):
        case EventKind.STEP:
            taken = facts["then"] if facts["cached"] else {**facts, "seconds": event["dur"] / 1e6}
            return Task(facts["product"], facts["stage"], facts["target"]), _cpu(taken)
        case EventKind.VERDICT | EventKind.SMOKE as kind:
            seconds = remote.get((kind.value, facts["key"]), event["dur"] / 1e6)
            ran = not facts.get("cached") and facts.get("ran", True) and seconds >= KNOWN
            name = proof_kind(kind, packed=event["name"].endswith(PACKED))
            return (Task(facts["product"], name, facts["target"]), seconds) if ran else None
        case EventKind.FETCH:
            return None


def of_cache(cache: Cache, goals: Sequence[Goal]) -> Seconds:
    """Return what a cache knows of steps: of each the median of all that were called the same, whatever version."""
    steps = topological_order(goals)
    names = {(step.product, step.stage.value) for step in steps}
    found: dict[Task, list[float]] = defaultdict(list)
    for entry in cache.entries():
        if entry.kind is not EntryKind.ACTION or not (value := cache.get_action(entry.name)):
            continue
        match str(value.get("step", "")).split():
            case [product, _, target, *stage]:
                kind = stage[0] if stage else "build"
                outcome = Outcome.read(entry.name, value)
                if outcome and (product, kind) in names:
                    taken = {"cpu": outcome.usage.cpu, "seconds": outcome.seconds}
                    found[Task(product, kind, target)].append(_cpu(taken))
            case _:
                pass
    usual = {
        (product, kind): seconds_of(value, UNKNOWN)
        for product, kind in names
        if (value := cache.get_action(_took(product, kind), kind=EntryKind.TOOK))
    }
    known = {task: statistics.median(values) for task, values in found.items()}
    return Seconds(known=known, usual=usual)


def _took(product: str, kind: str) -> str:
    return f"took-{product.replace(':', '-')}-{kind}"


def measure_proofs(context: Context, goals: Sequence[Goal]) -> Seconds:
    """Judge and try out all that this machine's cache has of what these goals deliver, one after the other."""
    timings = Timings()
    context = replace(context, timings=timings)
    builder = replace(context.builder(), timings=Timings())
    with ServerPool(1) as servers:
        for goal in goals:
            outcomes: dict[Step, Outcome] = {}
            for step in topological_order([goal]):
                inputs = {name: outcomes[need] for name, need in step.needs if need in outcomes}
                whole = len(inputs) == len(step.needs)
                if whole and (outcome := builder.look_up(step, inputs)):
                    outcomes[step] = outcome
            if any(step and step not in outcomes for step in (goal.build, goal.pack)):
                continue
            nowhere = Fetched(path=Path(), url="", seconds=0.0, cached=True)
            sources = {
                step.recipe.name: (step.release, nowhere) for step in topological_order([goal])
            }
            verifier = Verifier(
                context=context,
                run=BuildRun(goals=(goal,), outcomes=outcomes, sources=sources),
                results=ResultCache(cache=_Nothing()),
                servers=servers,
            )
            verifier.artifacts(goal)
    return traced(timings.trace(), Path("the trace of this run"))


class _Nothing:
    """A cache that knows nothing, and keeps nothing: what is measured has to be done."""

    def get_action(self, key: str, *, kind: EntryKind) -> dict[str, Any] | None:
        return None

    def put_action(self, key: str, value: Mapping[str, object], *, kind: EntryKind) -> None:
        pass


def _cpu(taken: Mapping[str, Any]) -> float:
    cpu = taken.get("cpu")
    return float(cpu) if isinstance(cpu, int | float) and cpu > 0 else float(taken["seconds"])


def _loaded(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _no_record(path) from error
    if not isinstance(found, dict):
        raise _no_record(path)
    return found


def _known(whole: Mapping[str, Any], path: Path) -> dict[Task, float]:
    try:
        if whole["version"] != VERSION:
            raise _no_record(path)
        return {
            Task(product, kind, target): float(taken)
            for product, kinds in whole["seconds"].items()
            for kind, targets in kinds.items()
            for target, taken in targets.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_record(path) from error


def _no_record(path: Path) -> UsageError:
    return UsageError(
        f"{path}: no seconds of steps can be read from it.",
        why="it is neither what --timings nor what bench --scale --record wrote",
        next="name another file, or make one: inv build --timings",
    )
