"""Runs a plan: what is cached is taken at once, the rest in parallel, each step when its needs are there.

Of the steps that could begin, the one with the longest way to the end goes first, and no more begin than memory allows.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from builders.build import Builder, Outcome
from builders.memory import Memory
from builders.plan import Step
from core.cancel import Cancelled, CancelToken

Submit = Callable[[Step, Mapping[str, Outcome]], "Future[Outcome]"]
"""All that the scheduler knows of how a step is run: another executor can take the threads' place."""


def run_plan(
    steps: Sequence[Step],
    builder: Builder,
    *,
    jobs: int,
    cancel: CancelToken,
    memory: Memory | None = None,
) -> dict[Step, Outcome]:
    """Return the outcome of every step; ``steps`` come each after what they need.

    The first failure stops all others and is raised; so does Ctrl-C. Nothing is left running.
    ``memory`` is this machine's if not given.
    """
    done: dict[Step, Outcome] = {}
    missing: list[Step] = []
    for step in steps:
        if all(need in done for _, need in step.needs):
            found = builder.look_up(step, _inputs(step, done))
            if found:
                done[step] = found
                continue
        missing.append(step)
    if missing:
        memory = memory or Memory.of_this_machine()
        urgency = critical_paths(missing, {step: builder.expected(step) for step in missing})
        waiting = sorted(missing, key=lambda step: -urgency[step])
        with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="step") as pool:
            try:
                _run_missing(
                    waiting,
                    done,
                    lambda step, inputs: pool.submit(builder.run, step, inputs),
                    jobs=jobs,
                    memory=memory,
                )
            except BaseException:
                cancel.cancel()
                pool.shutdown(wait=True, cancel_futures=True)
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
    waiting: list[Step], done: dict[Step, Outcome], submit: Submit, *, jobs: int, memory: Memory
) -> None:
    running: dict[Future[Outcome], Step] = {}
    while waiting or running:
        for step in [s for s in waiting if all(need in done for _, need in s.needs)]:
            # A step that does not fit lets smaller ones pass; at the latest it runs alone.
            if len(running) < jobs and memory.admits(step, running.values()):
                waiting.remove(step)
                running[submit(step, _inputs(step, done))] = step
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        # A real failure before the steps that it stopped.
        for future in sorted(finished, key=lambda one: isinstance(one.exception(), Cancelled)):
            done[running.pop(future)] = future.result()


def _inputs(step: Step, done: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {name: done[need] for name, need in step.needs}
