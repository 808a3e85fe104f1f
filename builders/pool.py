"""Where steps run: in threads of this process, or elsewhere. All that the scheduler knows of it."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

from builders.build import StepRunner
from builders.memory import MemoryBudget, available
from builders.outcome import Outcome
from builders.plan import Step


class Pool(Protocol):
    """Runs steps while it is open: ``with pool: ...``. It is left when the last step has ended."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        """Return whether it takes this step too, while those run; of none that run it refuses none.

        One that it refuses stands for all of the same `builders.memory.Load`.
        """
        ...

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        """Begin a step, whatever the cache says, and return at once.

        ``urgency`` is the seconds from its beginning to the end of all that waits for it. ``again``: it was done, and
        what it made is lost. A step must end soon once the run's token is cancelled; one that has not begun by then is
        cancelled by its future. The future raises LostInputs when something that the step needs is gone.
        """
        ...


class LocalPool:
    """Threads of this process: so many steps at a time as there are jobs, and no more than memory allows."""

    def __init__(self, builder: StepRunner, *, jobs: int, memory: MemoryBudget | None = None):
        """``memory`` is this machine's if not given."""
        self.builder = builder
        self.jobs = jobs
        self._memory = memory
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._memory = self._memory or MemoryBudget(budget=available())
        self._threads = ThreadPoolExecutor(max_workers=self.jobs, thread_name_prefix="step")
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown()

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        assert self._memory, "the pool is not open"
        return len(running) < self.jobs and self._memory.admits(step, running)

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        assert self._threads, "the pool is not open"
        return self._threads.submit(self.builder.run, step, inputs)
