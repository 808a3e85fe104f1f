"""`./inv bench --scale`: how much sooner many workers are done, on paper; see `bench.simulate`.

Two phases, as of a build: first the steps, then the verdicts and smoke runs of all that was made.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from bench.bars import SCALE_BARS
from bench.seconds import (
    Seconds,
    Task,
    measure_proofs,
    of_cache,
    proof_kind,
    read_record,
    read_trace,
    write_record,
)
from bench.simulate import bound, simulate
from bench.sizes import open_context
from builders.plan import Goal, Stage, Step, plan, topological_order
from builders.schedule import critical_paths
from builders.timings import EventKind
from console.table import table
from core.target import Target
from flow.verification import MOST_REMOTE
from recipes.load import list_products
from recipes.model import Recipe, RecipeKind, unsupported

WORKERS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Each of one core, with one step at a time."""

RELEASES: Final = (1, 20)

OVERHEAD: Final = 0.15
"""Seconds that a worker is busy with a step or a proof beside its programs: all that two real ones, busy for 97 % of
128 s with 52 of them, did not spend on those. No schedule's bound has it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof(Step):
    """A verdict or a smoke run, as a step: it needs the file, and the proof before it."""

    kind: EventKind

    @cached_property
    def name(self) -> str:
        return f"{super().name} {self.kind.value}"

    @property
    def task(self) -> Task:
        kind = proof_kind(self.kind, packed=self.stage is Stage.PACK)
        return Task(self.product, kind, self.target.value)

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is built and proven."""

    releases: int
    steps: tuple[Step, ...]
    proofs: tuple[Proof, ...]
    seconds: Mapping[Step, float]
    estimated: int
    """Of so many steps and proofs nobody has a record."""

    @property
    def all(self) -> tuple[Step, ...]:
        return (*self.steps, *self.proofs)

    @property
    def total(self) -> float:
        """Seconds of one worker that is never idle."""
        return sum(self.seconds.values())

    def longest(self) -> list[Step]:
        """The way through it that no number of workers makes shorter, its first step first."""
        ways = critical_paths(self.all, self.seconds)
        users: dict[Step, list[Step]] = {}
        for step in self.all:
            for _, need in step.needs:
                users.setdefault(need, []).append(step)
        found = [max(self.all, key=ways.__getitem__)]
        while after := users.get(found[-1]):
            found.append(max(after, key=ways.__getitem__))
        return found


@dataclass(frozen=True, kw_only=True)
class Line:
    """What so many workers do of a workload."""

    releases: int
    workers: int
    seconds: float
    speedup: float
    bound: float
    """The speed-up that no schedule can beat."""

    @property
    def reached(self) -> float:
        """How much of the bound."""
        return self.speedup / self.bound

    @property
    def must(self) -> float | None:
        """How much it must be at least; None: there is no bar."""
        return SCALE_BARS.get((self.releases, self.workers))

    @property
    def bar(self) -> str:
        """Whether the bar is met; empty: there is none."""
        if self.must is None:
            return ""
        return "met" if self.reached >= self.must else "missed"


def scale(
    options: argparse.Namespace,
    *,
    releases: Sequence[int] = RELEASES,
    workers: Sequence[int] = WORKERS,
) -> int:
    """Replay what is recorded, print, and return 1 when a bar is missed."""
    context = open_context(offline="1")
    goals = goals_of(context.recipes)
    seconds = read_record().over(of_cache(context.local, goals))
    if options.timings:
        seconds = read_trace(Path(options.timings)).over(seconds)
    if options.record:
        print("measuring verdicts and smoke runs ...", file=sys.stderr, flush=True)
        seconds = measure_proofs(context, goals).over(of_cache(context.local, goals)).over(seconds)
        about = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} while proofs were measured"
        write_record(seconds, about=about)
    works = [workload(goals, seconds, releases=number) for number in releases]
    found = [line for work in works for line in lines(work, workers=workers)]
    if options.json:
        rows = [
            {**asdict(line), "reached": line.reached, "must": line.must, "bar": line.bar}
            for line in found
        ]
        print(json.dumps({"version": 1, "overhead": OVERHEAD, "scale": rows}, indent=2))
    else:
        print(*map(show_work, works), show_lines(found), show_bars(found), sep="\n\n")
    return int(any(line.bar == "missed" for line in found))


def goals_of(recipes: Mapping[str, Recipe]) -> tuple[Goal, ...]:
    """Every product for every target that it supports, each in its newest release."""
    pairs = [
        (product, target)
        for target in Target
        for product in list_products(recipes)
        if not unsupported(product.recipe, product.variant, target, recipes)
    ]
    newest = {recipe.name: recipe.releases[0] for recipe in recipes.values()}
    return plan(pairs, recipes, newest, native=Target.native())


def workload(goals: Sequence[Goal], seconds: Seconds, *, releases: int = 1) -> Workload:
    """So many releases of the programs of ``goals``, each with its proofs; libraries and tools are shared."""
    steps: dict[Step, Step] = {}
    proofs: list[Proof] = []
    plain = topological_order(goals)
    for number in range(releases):
        made: dict[Step, Step] = {}
        for step in plain:
            needs = tuple((name, made[need]) for name, need in step.needs)
            own = step.recipe.kind is RecipeKind.PROGRAM
            new = any(made[need] != need for _, need in step.needs)
            release = step.release
            if number and (own or new):
                release = replace(release, version=f"{release.version}+{number}")
            one = replace(step, needs=needs, release=release)
            made[step] = steps.setdefault(one, one)
        for goal in goals:
            proofs += _proofs(*(made[step] for step in (goal.build, goal.pack) if step))
    whole: tuple[Step, ...] = (*steps, *proofs)
    taken = {step: seconds.of(_task(step)) for step in whole}
    return Workload(
        releases=releases,
        steps=tuple(steps),
        proofs=tuple(proofs),
        seconds={step: time for step, (time, _) in taken.items()},
        estimated=sum(estimated for _, estimated in taken.values()),
    )


def _proofs(*files: Step) -> Iterator[Proof]:
    """Yield what is proven of a plain file, then of the packed one: the order of `flow.verification`."""
    before: tuple[tuple[str, Step], ...] = ()
    for file in files:
        for kind in (EventKind.VERDICT, EventKind.SMOKE):
            proof = Proof(
                stage=file.stage,
                recipe=file.recipe,
                release=file.release,
                variant=file.variant,
                target=file.target,
                needs=(("file", file), *before),
                kind=kind,
            )
            before = (("before", proof),)
            yield proof


def _task(step: Step) -> Task:
    return step.task if isinstance(step, Proof) else Task.of(step)


def lines(work: Workload, *, workers: Sequence[int] = WORKERS) -> Iterator[Line]:
    """Yield what each number of workers does of it."""
    for number in workers:
        turns = simulate(
            [work.steps, work.proofs],
            work.seconds,
            workers=number,
            overhead=OVERHEAD,
            most=[number, MOST_REMOTE],
        )
        seconds = max(turn.ended for turn in turns)
        yield Line(
            releases=work.releases,
            workers=number,
            seconds=seconds,
            speedup=work.total / seconds,
            bound=work.total / bound(work.all, work.seconds, workers=number),
        )


def show_work(work: Workload) -> str:
    """What it is, what is estimated, and what limits it."""
    word = "release" if work.releases == 1 else "releases"
    longest = work.longest()
    shown = " -> ".join(
        f"{step.product if not isinstance(step, Proof) else ''} {_task(step).kind}".strip()
        + f" {work.seconds[step]:.1f}"
        for step in longest
        if work.seconds[step] >= 0.05
    )
    seconds = sum(work.seconds[step] for step in longest)
    proving = sum(work.seconds[proof] for proof in work.proofs)
    return (
        f"{work.releases} {word}: {len(work.steps):,} steps and {len(work.proofs):,} proofs,"
        f" {work.total:,.0f} s of one worker, {proving:,.0f} s of it proofs;"
        f" {work.estimated:,} have no record and are estimated\n"
        f"longest way: {seconds:.0f} s: {shown}"
    )


def show_lines(found: Sequence[Line]) -> str:
    """Speed-ups beside their bounds, as a table."""
    rows = [
        (
            f"{line.releases}",
            f"{line.workers}",
            f"{line.seconds:,.0f}",
            f"{line.speedup:.1f}",
            f"{line.bound:.1f}",
            f"{line.reached:.2f}",
        )
        for line in found
    ]
    return table(("releases", "workers", "seconds", "speed-up", "bound", "of it"), rows)


def show_bars(found: Sequence[Line]) -> str:
    """Every bar, and whether it is met."""
    rows = [
        (
            f"{line.workers} workers, {line.releases} release{'s' * (line.releases > 1)}: part of the bound",
            f"{line.reached:.3f}",
            f"{line.must:.2f}",
            line.bar,
        )
        for line in found
        if line.must is not None
    ]
    return table(("figure", "measured", "must", "bar"), rows)
