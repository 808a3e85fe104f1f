"""Runs a plan in a time that is only counted: the scheduler is the real one, its pool has workers on paper."""

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

from builders.outcome import Outcome
from builders.plan import Step
from builders.schedule import critical_paths, run_plan
from core.cancel import CancelToken

NOTHING = Outcome(
    key="", output="", files={}, engine="paper", isolated=True, seconds=0.0, cached=False
)
"""What every step makes."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One step on one worker; moments are seconds from the beginning."""

    step: Step
    worker: int
    began: float
    ended: float


@dataclass(kw_only=True)
class PaperPool:
    """So many workers, each with one step at a time. Implements `builders.pool.Pool`; of one thread.

    Nothing waits: when the scheduler asks what has ended, the clock is put on to when something does. What ends at the
    same moment ends together, so that the same plan always comes out the same.
    """

    workers: int
    seconds: Callable[[Step], float]
    """What a worker is busy with a step, from taking it to being free."""
    now: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    _idle: list[int] = field(default_factory=list)
    _ends: list[tuple[float, int, Future[Outcome]]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._idle = list(range(self.workers))
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        return bool(self._idle)

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        worker = heapq.heappop(self._idle)
        ended = self.now + self.seconds(step)
        self.turns.append(Turn(step=step, worker=worker, began=self.now, ended=ended))
        future: Future[Outcome] = Future()
        heapq.heappush(self._ends, (ended, worker, future))
        return future

    def await_first(self, running: Collection[Future[Outcome]]) -> set[Future[Outcome]]:
        """Let time pass until something ends; return all that ends then."""
        ended: set[Future[Outcome]] = set()
        self.now = self._ends[0][0]
        while self._ends and self._ends[0][0] <= self.now:
            _, worker, future = heapq.heappop(self._ends)
            heapq.heappush(self._idle, worker)
            self.end(future)
            ended.add(future)
        return ended

    def end(self, future: Future[Outcome]) -> None:
        """Say how a step ended."""
        future.set_result(NOTHING)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Knows of each step how long it takes, and of some that they are done: the memory of a scheduler on paper."""

    seconds: Mapping[Step, float]
    done: Collection[Step]
    width: int = 1

    def look_up(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome | None:
        return NOTHING if step in self.done else None

    def expected(self, step: Step) -> float:
        return self.seconds[step]


def simulate(
    phases: Sequence[Sequence[Step]],
    seconds: Mapping[Step, float],
    *,
    workers: int,
    overhead: float = 0.0,
    most: Sequence[int] = (),
) -> list[Turn]:
    """Return who did what when; of ``phases`` each begins when the one before has ended, as a build's do.

    ``overhead`` is what each step takes beside its ``seconds``; ``most`` is of each phase how many run at a time,
    however many workers there are.
    """
    turns = list[Turn]()
    steps, done = list[Step](), set[Step]()
    now = 0.0
    limits = [*most, *[workers] * (len(phases) - len(most))]
    for phase, limit in zip(phases, limits, strict=True):
        pool = PaperPool(
            workers=min(workers, limit), seconds=lambda step: seconds[step] + overhead, now=now
        )
        steps += phase
        run_plan(
            steps,
            Paper(seconds=seconds, done=done),
            pool=pool,
            cancel=CancelToken(),
            await_first=pool.await_first,
        )
        done = set(steps)
        now, turns = pool.now, turns + pool.turns
    return turns


def bound(steps: Sequence[Step], seconds: Mapping[Step, float], *, workers: int) -> float:
    """Return the seconds that no schedule can beat: all work shared evenly, or the longest way through it."""
    longest = max(critical_paths(steps, seconds).values(), default=0.0)
    return max(sum(seconds[step] for step in steps) / workers, longest)
