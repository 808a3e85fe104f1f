"""Schedules on paper: they are the scheduler's own, they obey its rules, and the figures told are theirs."""

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from bench.bars import SCALE_BARS
from bench.scale import (
    OVERHEAD,
    RELEASES,
    WORKERS,
    Line,
    Proof,
    goals_of,
    lines,
    scale,
    show_bars,
    show_lines,
    show_work,
    workload,
)
from bench.seconds import Seconds, Task, of_cache, read_record, read_trace, write_record
from bench.simulate import NOTHING, Paper, PaperPool, Turn, bound, simulate
from builders.build import UNKNOWN
from builders.outcome import Outcome
from builders.plan import Goal, Stage, Step
from builders.schedule import MOST_RETURNS, run_plan
from builders.sources.cache import Cache
from builders.timings import EventKind, Timings
from core.cancel import CancelToken
from core.errors import LostInputs, UsageError
from core.kinds import EntryKind
from core.target import Target
from flow.verification import MOST_REMOTE
from recipes.load import load_recipes
from recipes.model import Recipe, RecipeKind

SEEDS = range(30)


@cache
def recipes() -> Mapping[str, Recipe]:
    return load_recipes()


@cache
def goals() -> tuple[Goal, ...]:
    return goals_of(recipes())


def random_plan(chance: random.Random) -> tuple[list[Step], dict[Step, float]]:
    """Steps that need some of those before them, some of many, some of none."""
    recipe, steps = recipes()["zlib"], list[Step]()
    density = chance.choice((0.0, 0.5, 2.0, 6.0))
    for number in range(chance.randrange(1, 80)):
        wanted = min(len(steps), int(chance.expovariate(1 / density)) if density else 0)
        steps.append(
            Step(
                stage=chance.choice(list(Stage)),
                recipe=recipe,
                release=replace(recipe.releases[0], version=str(number)),
                variant=recipe.variants[0],
                target=Target.AMD64,
                needs=tuple((f"n{need.name}", need) for need in chance.sample(steps, wanted)),
            )
        )
    # Many of the same length, so that many end at once.
    return steps, {
        step: chance.choice((0.0, 1.0, 1.0, 2.5, chance.random() * 90)) for step in steps
    }


def check(turns: Sequence[Turn], steps: Sequence[Step], workers: int) -> None:
    """Every step once, after all that it needs, no two at a time on a worker, no worker that there is not."""
    assert Counter(turn.step for turn in turns) == Counter(steps)
    ended = {turn.step: turn.ended for turn in turns}
    for turn in turns:
        assert all(ended[need] <= turn.began for _, need in turn.step.needs)
    assert {turn.worker for turn in turns} <= set(range(workers))
    for worker in range(workers):
        own = [turn for turn in turns if turn.worker == worker]
        assert all(one.ended <= two.began for one, two in pairwise(own))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_on_paper_obeys_the_plan_and_is_as_good_as_list_scheduling(seed: int) -> None:
    chance = random.Random(seed)
    steps, seconds = random_plan(chance)
    for workers in (1, 2, 3, 8, 100):
        turns = simulate([steps], seconds, workers=workers)
        check(turns, steps, workers)
        end = max(turn.ended for turn in turns)
        least = bound(steps, seconds, workers=workers)
        total, longest = sum(seconds.values()), bound(steps, seconds, workers=10**9)
        assert least - 1e-6 <= end <= 2 * least + 1e-6
        # Graham's bound, which is the tighter one: nobody is idle while something could begin.
        assert end <= total / workers + (1 - 1 / workers) * longest + 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_plan_always_comes_out_the_same(seed: int) -> None:
    steps, seconds = random_plan(random.Random(seed))
    again, also = random_plan(random.Random(seed))
    for workers in (1, 3, 8):
        assert simulate([steps], seconds, workers=workers) == simulate(
            [again], also, workers=workers
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_idle_while_something_is_ready(seed: int) -> None:
    steps, seconds = random_plan(random.Random(seed))
    turns = simulate([steps], seconds, workers=3)
    ended = {turn.step: turn.ended for turn in turns}
    for turn in turns:
        ready = max((ended[need] for _, need in turn.step.needs), default=0.0)
        # From when it could have begun until it did, the others were busy.
        moments = {ready, *(it.ended for it in turns if ready <= it.ended < turn.began)}
        for moment in moments if ready < turn.began else ():
            assert len([it for it in turns if it.began <= moment < it.ended]) == 3


@dataclass(kw_only=True)
class LossyPool(PaperPool):
    """Loses what was made before, now and then: who needs it, and does not find it, says so."""

    chance: random.Random
    kept: dict[str, Step] = field(default_factory=dict)
    """What is there, by its sha256."""
    told: dict[Future[Outcome], tuple[Step, str, list[str]]] = field(default_factory=dict)
    """What runs, what it will have made, and what it did not find."""
    losses: int = 0

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        future = super().submit(step, inputs, urgency=urgency, again=again)
        assert inputs.keys() == {name for name, _ in step.needs}
        while self.kept and self.chance.random() < 0.2:
            del self.kept[self.chance.choice(sorted(self.kept))]
            self.losses += 1
        lost = [it.output for it in inputs.values() if it.output not in self.kept]
        # It is told when its time is over.
        # Whoever makes it again makes the same.
        self.told[future] = (step, sha256(step.name.encode()).hexdigest(), lost)
        return future

    def end(self, future: Future[Outcome]) -> None:
        step, made, lost = self.told.pop(future)
        if lost:
            future.set_exception(LostInputs("it is gone", names=lost))
        else:
            self.kept[made] = step
            future.set_result(replace(NOTHING, output=made))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_lost_is_made_again_and_the_rest_is_not(seed: int) -> None:
    chance = random.Random(seed)
    steps, seconds = random_plan(chance)
    pool = LossyPool(workers=chance.choice((1, 3, 9)), seconds=seconds.__getitem__, chance=chance)
    paper = Paper(seconds=seconds, done=())
    try:
        done = run_plan(steps, paper, pool=pool, cancel=CancelToken(), await_first=pool.await_first)
    except LostInputs:
        assert pool.losses
        returned = max(Counter(turn.step for turn in pool.turns).values())
        assert returned > MOST_RETURNS
        return
    assert done.keys() == set(steps)
    times = Counter(turn.step for turn in pool.turns)
    assert times.keys() == set(steps)
    if not pool.losses:
        assert set(times.values()) == {1}


def test_the_longest_way_goes_first_on_paper_too() -> None:
    steps, _ = random_plan(random.Random(1))
    alone = [replace(step, needs=()) for step in steps]
    seconds = {step: float(number) for number, step in enumerate(alone)}
    turns = simulate([alone], seconds, workers=1)
    assert [turn.step for turn in turns] == alone[::-1]


def test_what_a_step_takes_beside_its_programs_is_in_the_time_and_not_in_the_bound() -> None:
    steps, seconds = random_plan(random.Random(2))
    (end,) = [max(it.ended for it in simulate([steps], seconds, workers=1, overhead=0.5))]
    assert end == pytest.approx(sum(seconds.values()) + 0.5 * len(steps))
    assert bound(steps, seconds, workers=1) == pytest.approx(sum(seconds.values()))


def test_proofs_begin_when_all_steps_have_ended_and_no_more_at_a_time_than_a_build_asks() -> None:
    work = workload(goals(), Seconds(known={}), releases=2)
    turns = simulate([work.steps, work.proofs], work.seconds, workers=100, most=[100, MOST_REMOTE])
    check(turns, work.all, 100)
    proving = [turn for turn in turns if isinstance(turn.step, Proof)]
    steps = [turn for turn in turns if not isinstance(turn.step, Proof)]
    assert max(turn.ended for turn in steps) <= min(turn.began for turn in proving)
    assert {turn.worker for turn in proving} == set(range(MOST_REMOTE))
    assert {turn.worker for turn in steps} > {turn.worker for turn in proving}


def test_every_product_for_every_target_is_built_and_proven() -> None:
    work = workload(goals(), Seconds(known={}))
    names = {(goal.product.name, goal.target) for goal in goals()}
    assert {target for _, target in names} == set(Target)
    assert {name for name, _ in names} >= {"curl:mini", "curl:full", "probe:nuitka"}
    packed = sum(goal.pack is not None for goal in goals())
    assert len(work.proofs) == 2 * (len(goals()) + packed)
    assert Counter(proof.kind for proof in work.proofs) == {
        EventKind.VERDICT: len(work.proofs) // 2,
        EventKind.SMOKE: len(work.proofs) // 2,
    }
    assert len(set(work.all)) == len(work.all)


def test_releases_share_libraries_and_tools_and_nothing_of_the_programs() -> None:
    one, many = (workload(goals(), Seconds(known={}), releases=number) for number in (1, 5))

    def count(steps: Sequence[Step], *, programs: bool) -> int:
        return sum((step.recipe.kind is RecipeKind.PROGRAM) is programs for step in steps)

    assert count(many.steps, programs=True) == 5 * count(one.steps, programs=True) > 0
    assert count(many.steps, programs=False) == count(one.steps, programs=False) > 0
    assert len(many.proofs) == 5 * len(one.proofs)
    assert set(one.all) <= set(many.all)


def test_the_longest_way_is_one_and_as_long_as_said() -> None:
    chance = random.Random(3)
    known = {Task.of(step): chance.random() for goal in goals() for step in (goal.build,)}
    work = workload(goals(), Seconds(known=known))
    way = work.longest()
    for before, after in pairwise(way):
        assert before in [need for _, need in after.needs]
    assert sum(work.seconds[step] for step in way) == pytest.approx(
        bound(work.all, work.seconds, workers=10**9)
    )
    assert f"longest way: {sum(work.seconds[step] for step in way):.0f} s" in show_work(work)


def test_the_figures_told_are_those_of_the_run() -> None:
    work = workload(goals(), Seconds(known={}))
    found = list(lines(work, workers=(1, 8)))
    for line in found:
        turns = simulate(
            [work.steps, work.proofs],
            work.seconds,
            workers=line.workers,
            overhead=OVERHEAD,
            most=[line.workers, MOST_REMOTE],
        )
        assert line.seconds == max(turn.ended for turn in turns)
        assert line.speedup == sum(work.seconds.values()) / line.seconds
        assert line.reached == pytest.approx(
            bound(work.all, work.seconds, workers=line.workers) / line.seconds
        )
    alone, eight = found
    assert alone.seconds == pytest.approx(work.total + OVERHEAD * len(work.all))
    rows = show_lines(found).splitlines()[2:]
    assert rows[1].split() == [
        "1",
        "8",
        f"{eight.seconds:,.0f}",
        f"{eight.speedup:.1f}",
        f"{eight.bound:.1f}",
        f"{eight.reached:.2f}",
    ]


@pytest.mark.parametrize(("reached", "bar"), [(0.91, "met"), (0.9, "met"), (0.899, "missed")])
def test_a_bar_is_met_or_missed(reached: float, bar: str) -> None:
    line = Line(releases=1, workers=8, seconds=1, speedup=8 * reached, bound=8)
    assert SCALE_BARS[1, 8] == 0.9
    assert line.bar == bar
    assert show_bars([line]).splitlines()[-1].split()[-3:] == [f"{reached:.3f}", "0.90", bar]
    assert replace(line, workers=7).bar == ""


def test_every_bar_is_of_something_that_is_run() -> None:
    assert all(releases in RELEASES and workers in WORKERS for releases, workers in SCALE_BARS)


def test_what_nobody_has_run_is_estimated_and_counted() -> None:
    seconds = Seconds(
        known={
            Task("curl:mini", "build", "linux/amd64"): 5.0,
            Task("curl:mini", "build", "linux/arm64"): 7.0,
            Task("curl:mini", "build", "linux/386"): 60.0,
            Task("zlib", "build", "linux/amd64"): 1.0,
        },
        usual={("musl:base", "build"): 11.0, ("zlib", "build"): 99.0},
    )
    assert seconds.of(Task("curl:mini", "build", "linux/arm64")) == (7.0, False)
    assert seconds.of(Task("curl:mini", "build", "linux/s390x")) == (7.0, True)
    assert seconds.of(Task("zlib", "build", "linux/s390x")) == (1.0, True)
    assert seconds.of(Task("musl:base", "build", "linux/s390x")) == (11.0, True)
    assert seconds.of(Task("perl", "build", "linux/amd64")) == (6.0, True)
    assert seconds.of(Task("perl", "pack", "linux/amd64")) == (UNKNOWN, True)
    work = workload(goals(), seconds)
    assert work.estimated == len(work.all) - len(seconds.known)
    assert f"{work.estimated:,} have no record" in show_work(work)


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    known = {Task("curl:mini", "smoke packed", "linux/arm/v6"): 1.25, Task("a", "build", "b"): 3.0}
    write_record(Seconds(known=known), about="here", path=tmp_path / "seconds.json")
    assert read_record(tmp_path / "seconds.json").known == known
    assert read_record(tmp_path / "none.json").known == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 9, "seconds": {}}',
        '{"version": 1, "seconds": {"a": 3}}',
        '{"version": 1, "seconds": {"a": {"b": {"c": "x"}}}}',
        '{"version": 1, "seconds": [1]}',
    ],
)
def test_a_record_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seconds.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=r"seconds\.json: no seconds"):
        read_record(path)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"traceEvents": [3]}', '{"traceEvents": [{"ph": "X"}]}']
)
def test_a_trace_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "timings.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=r"timings\.json: no seconds"):
        read_trace(path)


def facts(product: str, **more: object) -> Mapping[str, object]:
    return {"product": product, "target": "linux/amd64", "key": product, "cached": False, **more}


def test_a_trace_tells_what_was_run_in_it_and_what_the_rest_took_when_it_was_made(
    tmp_path: Path,
) -> None:
    timings, zero = Timings(zero=0.0), 100.0

    def add(name: str, kind: EventKind, seconds: float, facts: Mapping[str, object]) -> None:
        timings.add(name, kind, began=zero, ended=zero + seconds, facts=facts)

    add("a", EventKind.STEP, 9.0, facts("a", stage="build", cpu=4.0))
    add("b", EventKind.STEP, 9.0, facts("b", stage="pack", cpu=None))
    then = {"seconds": 8.0, "cpu": 6.0}
    timings.cached("c", EventKind.STEP, facts("c", stage="build", cpu=None, then=then))
    add("d", EventKind.STEP, 9.0, facts("d", stage="build", failed=True))
    add("zlib", EventKind.FETCH, 9.0, {"cached": False, "key": "z"})
    add("a", EventKind.VERDICT, 0.5, facts("a", ok=True))
    add("a.upx", EventKind.SMOKE, 2.0, facts("a", ok=True, ran=True))
    add("b", EventKind.VERDICT, 0.0001, facts("b", ok=True))  # it was known
    add("b", EventKind.SMOKE, 2.0, facts("b", ok=False, ran=False))
    timings.cached("c", EventKind.SMOKE, facts("c", ok=True, ran=True))
    # The client waited for 30 s; the worker was at it for 3.
    add("e", EventKind.SMOKE, 30.0, facts("e", ok=True, ran=True))
    add("smoke e", EventKind.SMOKE, 3.0, {"key": "e", "worker": "w1"})
    path = tmp_path / "timings.json"
    path.write_text(json.dumps(timings.trace(jobs=1)), "utf-8")
    assert read_trace(path).known == {
        Task("a", "build", "linux/amd64"): 4.0,
        Task("b", "pack", "linux/amd64"): 9.0,
        Task("c", "build", "linux/amd64"): 6.0,
        Task("a", "verdict", "linux/amd64"): 0.5,
        Task("a", "smoke packed", "linux/amd64"): 2.0,
        Task("e", "smoke", "linux/amd64"): 3.0,
    }


def test_a_cache_tells_the_median_of_all_that_was_called_the_same(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    entry = {
        "output": "0" * 64,
        "files": {},
        "engine": "sandbox",
        "isolated": True,
        "seconds": 99.0,
    }
    for number, cpu in enumerate((4.0, 5.0, 90.0)):
        made = {"step": f"curl:mini 8.{number}.0 linux/arm64", "usage": {"cpu": cpu}}
        cache.put_action(f"{number}" * 64, {**entry, **made})
    cache.put_action("9" * 64, {**entry, "step": "other 1 linux/arm64"})
    cache.put_action("8" * 64, {"step": "curl:mini 8.1.0 linux/arm64"})
    cache.put_action("took-musl-base-build", {"seconds": 12.0}, kind=EntryKind.TOOK)
    found = of_cache(cache, goals())
    assert found.known == {Task("curl:mini", "build", "linux/arm64"): 5.0}
    assert found.usual == {("musl:base", "build"): 12.0}


def test_what_is_named_is_believed_before_what_is_kept() -> None:
    task = Task("a", "build", "b")
    both = Seconds(known={task: 1.0}).over(Seconds(known={task: 2.0, Task("c", "d", "e"): 3.0}))
    assert both.known == {task: 1.0, Task("c", "d", "e"): 3.0}


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"timings": "", "record": False, "json": False, **given})


def test_the_command_tells_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = scale(options(json=True), releases=(1,), workers=(1, 8))
    told = json.loads(capsys.readouterr().out)
    alone, eight = told["scale"]
    assert (alone["workers"], alone["bar"]) == (1, "")
    assert eight["bar"] == ("met" if eight["reached"] >= eight["must"] else "missed")
    assert code == int(eight["bar"] == "missed")
    assert scale(options(), releases=(1,), workers=(1, 8)) == code
    text = capsys.readouterr().out
    assert "steps and" in text
    assert f"{eight['speedup']:.1f}" in text


def test_the_scheduler_meets_its_bar_for_one_release() -> None:
    (line,) = lines(workload(goals(), read_record()), workers=(8,))
    assert line.reached >= SCALE_BARS[1, 8]
