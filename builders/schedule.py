"""Runs a plan: what is cached is taken at once, the rest in parallel, each step when its needs are there.

Of the steps that could begin, the one with the longest way to the end goes first, as the pool takes them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial

from builders.build import StepRunner
from builders.outcome import Outcome
from builders.plan import Step
from builders.pool import Pool
from core.cancel import Cancelled, CancelToken
from core.errors import LostInputs
from core.threads import GLANCE, in_threads

MOST_RETURNS = 2
"""How often a step is begun anew since something that it needs was lost: whoever loses more loses everything."""


def run_plan(
    steps: Sequence[Step], builder: StepRunner, *, pool: Pool, cancel: CancelToken
) -> dict[Step, Outcome]:
    """Return the outcome of every step; ``steps`` come each after what they need.

    The first failure stops all others and is raised; so does Ctrl-C. Nothing is left running. Where what a step needs
    was lost after it was made, whoever made it has another turn.
    """
    done = look_up_all(steps, builder, cancel=cancel)
    missing = [step for step in steps if step not in done]
    if missing:
        urgency = critical_paths(missing, {step: builder.expected(step) for step in missing})
        with pool:
            run = _Run(done=done, waiting=list(missing), urgency=urgency, pool=pool)
            try:
                run.whole()
            except BaseException:
                cancel.set()
                wait([future for future in run.running if not future.cancel()])
                raise
    return done


def look_up_all(
    steps: Sequence[Step], builder: StepRunner, *, cancel: CancelToken
) -> dict[Step, Outcome]:
    """Return what is known of ``steps``, each after what it needs; as many at a time as the cache is worth."""
    done: dict[Step, Outcome] = {}
    left = list(steps)
    while ready := [step for step in left if all(need in done for _, need in step.needs)]:
        left = [step for step in left if step not in ready]
        look = partial(_look_up, builder=builder, done=done)
        jobs = min(builder.cache.width, len(ready))
        if jobs == 1:
            found = list(map(look, ready))
        else:
            found = in_threads(look, ready, jobs=jobs, name="look", cancel=cancel)
        done |= {step: it for step, it in zip(ready, found, strict=True) if it}
    return done


def _look_up(step: Step, *, builder: StepRunner, done: Mapping[Step, Outcome]) -> Outcome | None:
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
    """What is done, what runs, what waits."""

    done: dict[Step, Outcome]
    waiting: list[Step]
    urgency: dict[Step, float]
    pool: Pool
    running: dict[Future[Outcome], Step] = field(default_factory=dict)
    lost: set[Step] = field(default_factory=set)
    """What has to be made again."""
    returns: Counter[Step] = field(default_factory=Counter)

    def whole(self) -> None:
        """Run all that waits. Raises the first failure."""
        while self.waiting or self.running:
            self._begin()
            finished: set[Future[Outcome]] = set()
            while not finished:
                finished, _ = wait(self.running, timeout=GLANCE, return_when=FIRST_COMPLETED)
            # A real failure before the steps that it stopped.
            for future in sorted(finished, key=lambda one: isinstance(one.exception(), Cancelled)):
                self._take(self.running.pop(future), future)

    def _begin(self) -> None:
        self.waiting.sort(key=lambda step: -self.urgency[step])
        ready = [step for step in self.waiting if all(need in self.done for _, need in step.needs)]
        for step in ready:
            # A step that does not fit lets smaller ones pass; at the latest it runs alone.
            if self.pool.admits(step, self.running.values()):
                self.waiting.remove(step)
                again = step in self.lost
                begun = self.pool.submit(
                    step, _inputs(step, self.done), urgency=self.urgency[step], again=again
                )
                self.running[begun] = step

    def _take(self, step: Step, future: Future[Outcome]) -> None:
        try:
            self.done[step] = future.result()
        except LostInputs as error:
            makers = [
                need
                for _, need in step.needs
                if need in self.done and set(self.done[need].blobs) & set(error.names)
            ]
            self.returns[step] += 1
            # Where another step that needs them has sent them back already, they are on their way.
            on_the_way = any(need not in self.done for _, need in step.needs)
            if self.returns[step] > MOST_RETURNS or not (makers or on_the_way):
                raise
            for maker in makers:
                del self.done[maker]
                self.lost.add(maker)
                self.urgency[maker] = self.urgency.get(maker, 0.0) + self.urgency[step]
            self.waiting += [*makers, step]
        else:
            self.lost.discard(step)


def _inputs(step: Step, done: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {name: done[need] for name, need in step.needs}
