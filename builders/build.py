"""Builds one step: looks its key up, else has it run as an action, and remembers what it made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from builders.engines.engine import Engine
from builders.engines.limits import Limits
from builders.key import action_key
from builders.outcome import Outcome, agrees
from builders.plan import Step
from builders.sources.entry import seconds_of
from builders.timings import EventKind, Timings
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.kinds import EntryKind
from core.progress import Report
from recipes.model import Source

if TYPE_CHECKING:
    from builders.action import Action
    from builders.sources.shared import AnyCache

UNKNOWN = 10.0
"""Seconds that a step is expected to take when no target's was ever run here."""


class LazyEngine:
    """An engine that is made when the first step really runs: looking for one costs time."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._lock = Lock()
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """Return the engine, making it once. Raises EngineError when there is none."""
        with self._lock:
            self._engine = self._engine or self._make()
            return self._engine


@dataclass(frozen=True, kw_only=True)
class StepRunner:
    """All that running a step takes."""

    cache: "AnyCache"
    toolchain: Toolchain
    engine: LazyEngine
    report: Report
    logs: Path
    cancel: CancelToken = field(default_factory=CancelToken)
    rebuild: frozenset[str] = frozenset()
    """The recipes whose cached results are not looked at."""
    timings: Timings = field(default_factory=Timings)
    limits: Limits = field(default_factory=Limits)
    fetch: Callable[[Source], object] | None = None
    """Has a source here that was said to be in a store, and is not, or not as it must be."""

    @property
    def width(self) -> int:
        """How many look-ups at a time are worth their threads."""
        return self.cache.width

    def look_up(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome | None:
        """Return the remembered outcome, if its bytes are still there: here, where they are good, or in a store."""
        if step.recipe.name in self.rebuild:
            return None
        key = self.key(step, inputs)
        entry = self.cache.get_action(key, check=self.agrees)
        outcome = Outcome.read(key, entry) if entry else None
        if outcome is None or not all(map(self.cache.has, outcome.blobs)):
            return None
        self.timings.cached(step.name, EventKind.STEP, outcome.facts(step))
        return outcome

    def look_up_whole(self, step: Step) -> Outcome | None:
        """Return the remembered outcome of a step whose inputs are remembered, too."""
        inputs: dict[str, Outcome] = {}
        for name, need in step.needs:
            outcome = self.look_up_whole(need)
            if outcome is None:
                return None
            inputs[name] = outcome
        return self.look_up(step, inputs)

    def run(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome:
        """Run the step, whatever the cache says, and remember what it made. Thread-safe.

        Raises StepError with the end of the log when the script fails.
        """
        # A build that changes nothing needs none of it.
        from builders.perform import perform  # noqa: PLC0415

        key, busy = self.key(step, inputs), f"wait    {step.name}: another run is at it"
        # Two runs that want the same step: the second waits, then finds the result.
        with self.cache.lock(key, waiting=lambda: self.report.note(busy), cancel=self.cancel):
            if found := self.look_up(step, inputs):
                return found
            self.cache.check_key()  # not after an hour's work
            engine = self.engine.get()
            if (
                (source := step.release.source)
                and self.fetch
                and not self.cache.blob(source.sha256)
            ):
                self.fetch(source)
            self.report.step_started(step.name)
            with self.timings.measure(step.name, EventKind.STEP) as facts:
                outcome = perform(
                    self.action(step, inputs),
                    cache=self.cache,
                    toolchain=self.toolchain,
                    engine=engine,
                    stop=self.cancel,
                    logs=self.logs,
                    limits=self.limits,
                )
                facts.update(outcome.facts(step))
            self.cache.put_action(key, outcome.entry(step.name))
            self.took(step, outcome)
            self.report.step_finished(step.name, outcome.seconds, cached=False)
            return outcome

    def action(self, step: Step, inputs: Mapping[str, Outcome]) -> "Action":
        """Return the step as data; its inputs are in the cache then, if they were ever there."""
        from builders.action import make_action  # noqa: PLC0415

        return make_action(
            step,
            _digests(inputs),
            key=self.key(step, inputs),
            toolchain=self.toolchain,
            cache=self.cache,
            seconds=self.limits.seconds,
        )

    def expected(self, step: Step) -> float:
        """Seconds that the step will take, as its last run here did, whatever target and version that was for."""
        known = self.cache.get_action(_last_run(step), kind=EntryKind.TOOK)
        return seconds_of(known or {}, UNKNOWN)

    def took(self, step: Step, outcome: Outcome) -> None:
        """Remember how long the step took."""
        self.cache.put_action(_last_run(step), {"seconds": outcome.seconds}, kind=EntryKind.TOOK)

    def agrees(self, entry: Mapping[str, Any]) -> bool:
        """True when an action's result says of its files what its output holds."""
        return agrees(self.cache, entry)

    def key(self, step: Step, inputs: Mapping[str, Outcome]) -> str:
        return action_key(step, _digests(inputs), self.toolchain)


def _digests(inputs: Mapping[str, Outcome]) -> dict[str, str]:
    return {name: outcome.output for name, outcome in inputs.items()}


def _last_run(step: Step) -> str:
    """The cache's name for how long such a step takes."""
    return f"took-{step.product.replace(':', '-')}-{step.stage.value}"
