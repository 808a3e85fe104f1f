"""What a worker works with: its own cache before the store that all share, its engine, its builder key."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builders.action import Action, NoActionError
from builders.memory import available
from builders.outcome import Outcome, agrees
from builders.perform import log_of, perform
from builders.sources.shared import SharedCache
from core.cancel import CancelToken
from core.errors import LostInputs, StepError, StoreError, UsageError
from core.kinds import EntryKind
from core.progress import Report
from core.settings import Settings
from core.threads import in_threads
from core.visible import visible
from flow.cluster.errand import Errand
from flow.context import ROOT, Context

CODE = ("builders", "core", "flow", "recipes", "verify")
"""The rooms whose code can change what a worker does."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How an errand ended where it was done."""

    ran: bool
    log: Path | None = None
    value: str = ""


class Workshop(Protocol):
    """What does errands."""

    builder: str
    """The line of the public key that results are signed with."""

    def perform(self, errand: Errand, stop: CancelToken) -> Done:
        """Do one, until it is done or ``stop`` is set; its signed result and its bytes are in the store then."""
        ...

    def log_of(self, errand: Errand) -> Path | None:
        """Where the log of an errand is, if it has one."""
        ...

    def sweep(self) -> None:
        """Remove what workers that were killed have left."""
        ...

    def close(self) -> None: ...


class ContextWorkshop:
    """A workshop by the settings of where it is."""

    def __init__(self, context: Context) -> None:
        """Raises UsageError when the settings name no store."""
        self.context = context
        self.cache = shared(context)
        self.builder = context.builder_keys.own_line

    def perform(self, errand: Errand, stop: CancelToken) -> Done:
        match errand.kind:
            case EntryKind.ACTION:
                return self._step(errand, stop)
            case _:
                msg = f"This worker runs no {errand.kind.value}."
                raise StepError(msg)

    def log_of(self, errand: Errand) -> Path | None:
        if errand.kind is not EntryKind.ACTION:
            return None
        return log_of(_action(errand), self._logs)

    def sweep(self) -> None:
        self.context.sweep()

    def close(self) -> None:
        self.context.cancel.set()

    @property
    def _logs(self) -> Path:
        return self.context.cache_directory / "logs"

    def _step(self, errand: Errand, stop: CancelToken) -> Done:
        action, cache, context = _action(errand), self.cache.anew(), self.context
        with cache.lock(action.key, cancel=stop):
            if not errand.again and _is_known(cache, action.key) and cache.is_shared(action.key):
                return Done(ran=False)
            cache.check_key()
            blobs = in_threads(
                cache.blob, action.inputs, jobs=cache.width, name="pull", cancel=stop
            )
            lost = [
                sha256 for sha256, blob in zip(action.inputs, blobs, strict=True) if blob is None
            ]
            if lost:
                msg = f"What {action.name} needs is not in the store as it should be."
                raise LostInputs(msg, names=lost, why="it was removed or damaged there")
            outcome = perform(
                action,
                cache=cache,
                toolchain=context.toolchain,
                engine=context.engine.get(),
                stop=stop,
                logs=self._logs,
                limits=context.limits,
            )
            if errand.again:
                cache.distrust(outcome.blobs)
            cache.put_action(action.key, outcome.entry(action.name))
            if not cache.is_shared(action.key):
                msg = f"What {action.name} made is not in the store."
                why = "it cannot be reached, or this worker may not write to it"
                raise StoreError(msg, why=why, next="inv cluster status")
        return Done(ran=True, log=log_of(action, self._logs))


class Loud(Report):
    """Says on standard error what nobody should miss: a worker has no other place for it."""

    def warn(self, text: str) -> None:
        print(visible(f"WARNING {text}"), file=sys.stderr, flush=True)


def open_workshop(settings: Settings) -> Workshop:
    """Return a worker's workshop: what a worker's process is told to call."""
    return ContextWorkshop(Context(settings=settings, report=Loud()))


def shared(context: Context) -> SharedCache:
    """Return the cache with its store. Raises UsageError when the settings name none."""
    cache = context.cache
    if not isinstance(cache, SharedCache):
        msg = "A cluster needs a store: what one machine makes the others have to find."
        raise UsageError(msg, next="--store oci://HOST/REPO, s3://BUCKET or file:///DIRECTORY")
    return cache


def label(context: Context) -> str:
    """Name what a worker must have in common with a client: this code, and this toolchain."""
    digest = hashlib.sha256(context.toolchain.digest.encode())
    for room in CODE:
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return f"tools-{digest.hexdigest()[:16]}"


def resources(context: Context, jobs: int) -> dict[str, float]:
    """What a worker has to give, as Dask counts it."""
    memory = available()
    most = float(memory) if memory is not None else 1e18
    cores = float(os.cpu_count() or 1)  # what JOBS says to each step here
    return {"jobs": float(jobs), "memory": most, "cores": cores, label(context): float(jobs)}


def _action(errand: Errand) -> Action:
    try:
        action = Action.read(errand.data.encode())
    except NoActionError as error:
        msg = f"What a worker was sent is no step: {error}."
        raise StepError(msg, why="client and worker are of different versions") from error
    if action.key != errand.key:
        msg = "What a worker was sent is another step than it is called."
        raise StepError(msg, why="client and worker are of different versions")
    return action


def _is_known(cache: SharedCache, key: str) -> bool:
    entry = cache.get_action(key, check=lambda value: agrees(cache, value))
    outcome = Outcome.read(key, entry) if entry else None
    return outcome is not None and all(map(cache.has, outcome.blobs))
