"""Runs a plan: what is cached is taken at once, the rest in parallel, each step when its needs are there.

Of the steps that could begin, the one with the longest way to the end goes first, and no more begin than memory allows.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from typing import Protocol

from builders.build import StepRunner
from builders.memory import MemoryBudget, available
from builders.outcome import Outcome
from builders.plan import Step
from core.cancel import Cancelled, CancelToken
from core.threads import GLANCE


class Submit(Protocol):
    """All that the scheduler knows of how a step is run: begin it, whatever the cache says, and return at once.

    As many steps as there are jobs are begun before the first ends. A step must end soon once the run's token is
    cancelled; one that has not begun by then is cancelled by its future.
    """

    def __call__(self, step: Step, inputs: Mapping[str, Outcome]) -> Future[Outcome]: ...


@contextmanager
def local_threads(builder: StepRunner, jobs: int) -> Iterator[Submit]:
    """Run steps in threads of this process, and leave when the last has ended."""
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="step") as pool:
        yield lambda step, inputs: pool.submit(builder.run, step, inputs)


def run_plan(
    steps: Sequence[Step],
    builder: StepRunner,
    *,
    jobs: int,
    cancel: CancelToken,
    memory: MemoryBudget | None = None,
    submit: Submit | None = None,
) -> dict[Step, Outcome]:
    """Return the outcome of every step; ``steps`` come each after what they need.

    The first failure stops all others and is raised; so does Ctrl-C. Nothing is left running.
    ``memory`` is this machine's if not given; ``submit`` is `local_threads`.
    """
    done: dict[Step, Outcome] = {}
    missing: list[Step] = []
    for step in steps:
        ready = all(need in done for _, need in step.needs)
        if ready and (found := builder.look_up(step, _inputs(step, done))):
            done[step] = found
        else:
            missing.append(step)
    if missing:
        memory = memory or MemoryBudget(budget=available())
        urgency = critical_paths(missing, {step: builder.expected(step) for step in missing})
        waiting = sorted(missing, key=lambda step: -urgency[step])
        with nullcontext(submit) if submit else local_threads(builder, jobs) as begin:
            running: dict[Future[Outcome], Step] = {}
            try:
                _run_missing(waiting, done, running, begin, jobs=jobs, memory=memory)
            except BaseException:
                cancel.set()
                wait([future for future in running if not future.cancel()])
                raise
    return done


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


def _run_missing(
    waiting: list[Step],
    done: dict[Step, Outcome],
    running: dict[Future[Outcome], Step],
    submit: Submit,
    *,
    jobs: int,
    memory: MemoryBudget,
) -> None:
    while waiting or running:
        ready = [step for step in waiting if all(need in done for _, need in step.needs)]
        for step in ready:
            # A step that does not fit lets smaller ones pass; at the latest it runs alone.
            if len(running) < jobs and memory.admits(step, running.values()):
                waiting.remove(step)
                running[submit(step, _inputs(step, done))] = step
        finished: set[Future[Outcome]] = set()
        while not finished:
            finished, _ = wait(running, timeout=GLANCE, return_when=FIRST_COMPLETED)
        # A real failure before the steps that it stopped.
        for future in sorted(finished, key=lambda one: isinstance(one.exception(), Cancelled)):
            done[running.pop(future)] = future.result()


def _inputs(step: Step, done: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {name: done[need] for name, need in step.needs}
