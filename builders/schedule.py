"""Runs a plan: what is cached is taken at once, the rest in parallel, each step when its needs are there."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from builders.build import Builder, Outcome
from builders.engines.engine import Stop, Stopped
from builders.plan import Step

Submit = Callable[[Step, Mapping[str, Outcome]], "Future[Outcome]"]
"""All that the scheduler knows of how a step is run: another executor can take the threads' place."""


def run_plan(
    steps: Sequence[Step], builder: Builder, *, jobs: int, stop: Stop
) -> dict[Step, Outcome]:
    """Return the outcome of every step; ``steps`` come each after what they need.

    The first failure stops all others and is raised; so does Ctrl-C. Nothing is left running.
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
        with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="step") as pool:
            try:
                _run_missing(
                    missing, done, lambda step, inputs: pool.submit(builder.run, step, inputs)
                )
            except BaseException:
                stop.event.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return done


def _run_missing(missing: list[Step], done: dict[Step, Outcome], submit: Submit) -> None:
    waiting = list(missing)
    running: dict[Future[Outcome], Step] = {}
    while waiting or running:
        for step in [s for s in waiting if all(need in done for _, need in s.needs)]:
            waiting.remove(step)
            running[submit(step, _inputs(step, done))] = step
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        # A real failure before the steps that it stopped.
        for future in sorted(finished, key=lambda one: isinstance(one.exception(), Stopped)):
            done[running.pop(future)] = future.result()


def _inputs(step: Step, done: Mapping[Step, Outcome]) -> dict[str, Outcome]:
    return {name: done[need] for name, need in step.needs}
