"""Runs a plan: what is cached is taken at once, the rest in parallel, each step when its needs are there.

Of the steps that could begin, the one with the longest way to the end goes first, as the pool takes them.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from builders.memory import Load
from builders.outcome import Outcome
from builders.plan import Step
from builders.pool import Pool
from core.cancel import Cancelled, CancelToken
from core.errors import LostInputs
from core.threads import GLANCE, in_threads

MOST_RETURNS = 2
"""How often a step is begun anew since something that it needs was lost: whoever loses more loses everything."""


class Memory(Protocol):
    """What is known of steps before they run: a `builders.build.StepRunner`."""

    @property
    def width(self) -> int:
        """How many look-ups at a time are worth their threads."""
        ...

    def look_up(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome | None:
        """Return what the step made, if that is known and still there."""
        ...

    def expected(self, step: Step) -> float:
        """Seconds that the step will take."""
        ...


def first_ended(running: Collection[Future[Outcome]]) -> set[Future[Outcome]]:
    """Wait until one of them has ended, and return all that have."""
    finished: set[Future[Outcome]] = set()
    while not finished:
        finished, _ = wait(running, timeout=GLANCE, return_when=FIRST_COMPLETED)
    return finished


def run_plan(
    steps: Sequence[Step],
    builder: Memory,
    *,
    pool: Pool,
    cancel: CancelToken,
    await_first: Callable[[Collection[Future[Outcome]]], set[Future[Outcome]]] = first_ended,
) -> dict[Step, Outcome]:
    """Return the outcome of every step; ``steps`` come each after what they need.

    The first failure stops all others and is raised; so does Ctrl-C. Nothing is left running. Where what a step needs
    was lost after it was made, whoever made it has another turn. ``await_first`` is how time passes while steps run: a
    pool that lives in a time of its own brings its own.
    """
    done = look_up_all(steps, builder, cancel=cancel)
    missing = [step for step in steps if step not in done]
    if missing:
        urgency = critical_paths(missing, {step: builder.expected(step) for step in missing})
        with pool:
            run = _Run(done=done, urgency=urgency, pool=pool, await_first=await_first)
            for step in missing:
                run.add(step)
            try:
                run.whole()
            except BaseException:
                cancel.set()
                wait([future for future in run.running if not future.cancel()])
                raise
    return done


def look_up_all(
    steps: Sequence[Step], builder: Memory, *, cancel: CancelToken
) -> dict[Step, Outcome]:
    """Return what is known of ``steps``, each after what it needs; as many at a time as the cache is worth."""
    done: dict[Step, Outcome] = {}
    left = list(steps)
    while ready := [step for step in left if all(need in done for _, need in step.needs)]:
        looked_up = set(ready)
        left = [step for step in left if step not in looked_up]
        look = partial(_look_up, builder=builder, done=done)
        jobs = min(builder.width, len(ready))
        if jobs == 1:
            found = list(map(look, ready))
        else:
            found = in_threads(look, ready, jobs=jobs, name="look", cancel=cancel)
        done |= {step: it for step, it in zip(ready, found, strict=True) if it}
    return done


def _look_up(step: Step, *, builder: Memory, done: Mapping[Step, Outcome]) -> Outcome | None:
    return builder.look_up(step, _inputs(step, done))


def critical_paths(steps: Sequence[Step], seconds: Mapping[Step, float]) -> dict[Step, float]:
    """Return how many seconds pass from the beginning of each step to the end of all that waits for it.

    ``steps`` come each after what they need.
    """
    ways = dict(seconds)
    for step in reversed(steps):
        for _, need in step.needs:
            if need in ways:
                ways[need] = max(ways[need], seconds[need] + ways[step])
    return ways


@dataclass(kw_only=True)
class _Run:
    """What is done, what runs, what waits. No turn looks at all that waits: there may be thousands."""

    done: dict[Step, Outcome]
    urgency: dict[Step, float]
    pool: Pool
    await_first: Callable[[Collection[Future[Outcome]]], set[Future[Outcome]]]
    running: dict[Future[Outcome], Step] = field(default_factory=dict)
    waiting: dict[Step, set[Step]] = field(default_factory=dict)
    """Each with what it needs and is not there."""
    ready: dict[Load, list[Step]] = field(default_factory=lambda: defaultdict(list))
    """What waits for nothing, the most urgent first; a pool that refuses one refuses all of its load."""
    users: dict[Step, set[Step]] = field(default_factory=lambda: defaultdict(set))
    order: dict[Step, int] = field(default_factory=dict)
    """Of two that are as urgent, which goes first."""
    lost: set[Step] = field(default_factory=set)
    """What has to be made again."""
    returns: Counter[Step] = field(default_factory=Counter)

    def add(self, step: Step) -> None:
        """Let a step wait for its turn."""
        needs = {need for _, need in step.needs}
        for need in needs:
            self.users[need].add(step)
        self.order.setdefault(step, len(self.order))
        self.waiting[step] = {need for need in needs if need not in self.done}
        if not self.waiting[step]:
            self._make_ready(step)

    def whole(self) -> None:
        """Run all that waits. Raises the first failure."""
        while self.waiting or self.running:
            self._begin()
            finished = self.await_first(self.running.keys())
            # A real failure before the steps that it stopped.
            for future in sorted(finished, key=lambda one: isinstance(one.exception(), Cancelled)):
                self._take(self.running.pop(future), future)

    def _waiting_for(self, step: Step) -> list[Step]:
        return [user for user in self.users[step] if user in self.waiting]

    def _turn(self, step: Step) -> tuple[float, int]:
        return -self.urgency[step], self.order[step]

    def _make_ready(self, step: Step) -> None:
        insort(self.ready[Load.of(step)], step, key=self._turn)

    def _begin(self) -> None:
        left = {load for load, steps in self.ready.items() if steps}
        while left:
            load = min(left, key=lambda one: self._turn(self.ready[one][0]))
            steps = self.ready[load]
            # A step that does not fit lets smaller ones pass; at the latest it runs alone.
            if self.pool.admits(steps[0], self.running.values()):
                self._submit(steps.pop(0))
                if steps:
                    continue
            left.discard(load)

    def _submit(self, step: Step) -> None:
        del self.waiting[step]
        inputs, again = _inputs(step, self.done), step in self.lost
        begun = self.pool.submit(step, inputs, urgency=self.urgency[step], again=again)
        self.running[begun] = step

    def _take(self, step: Step, future: Future[Outcome]) -> None:
        try:
            self.done[step] = future.result()
        except LostInputs as error:
            makers = [
                need
                for need in dict.fromkeys(need for _, need in step.needs)
                if need in self.done and set(self.done[need].blobs) & set(error.names)
            ]
            self.returns[step] += 1
            # Where another step that needs them has sent them back already, they are on their way.
            on_the_way = any(need not in self.done for _, need in step.needs)
            if self.returns[step] > MOST_RETURNS or not (makers or on_the_way):
                raise
            for maker in makers:
                self._undo(maker, urgency=self.urgency[step])
            self.add(step)
        else:
            self.lost.discard(step)
            for user in self._waiting_for(step):
                self.waiting[user].discard(step)
                if not self.waiting[user]:
                    self._make_ready(user)

    def _undo(self, maker: Step, *, urgency: float) -> None:
        """Have a step made again, for one that is as urgent as that."""
        del self.done[maker]
        self.lost.add(maker)
        self.urgency[maker] = self.urgency.get(maker, 0.0) + urgency
        for user in self._waiting_for(maker):
            if not self.waiting[user]:
                self.ready[Load.of(user)].remove(user)
            self.waiting[user].add(maker)
        self.add(maker)


def _inputs(step: Step, done: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {name: done[need] for name, need in step.needs}
