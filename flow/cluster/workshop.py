"""What a worker works with: its own cache before the store that all share, its engine, its builder key."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

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
from flow.verification import ServerPool, try_here
from verify.actions import Judgement, NoProofError, Trial
from verify.results import keep

_Proof = TypeVar("_Proof", Judgement, Trial)

SIGNS = "signs as "
"""What comes before a worker's public key where it says what it has."""

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

    def open(self) -> None:
        """Remove what workers that were killed have left, and make ready. Raises EngineError when nothing can run."""
        ...

    def close(self) -> None: ...


class ContextWorkshop:
    """A workshop by the settings of where it is."""

    def __init__(self, context: Context) -> None:
        """Raises UsageError when the settings name no store."""
        self.context = context
        self.cache = shared(context)
        self.servers = ServerPool()
        self.builder = context.builder_keys.own_line

    def perform(self, errand: Errand, stop: CancelToken) -> Done:
        match errand.kind:
            case EntryKind.ACTION:
                return self._step(errand, stop)
            case EntryKind.VERDICT:
                return self._verdict(errand, stop)
            case EntryKind.SMOKE:
                return self._smoke(errand, stop)
            case _:
                msg = f"This worker runs no {errand.kind.value}."
                raise StepError(msg)

    def log_of(self, errand: Errand) -> Path | None:
        if errand.kind is not EntryKind.ACTION:
            return None
        return log_of(_action(errand), self._logs)

    def open(self) -> None:
        self.context.sweep()
        self.context.engine.get()  # not when the first step waits for it

    def close(self) -> None:
        self.context.cancel.set()
        self.servers.close()

    def _verdict(self, errand: Errand, stop: CancelToken) -> Done:
        judgement, cache = _proof(errand, Judgement), self.cache.anew()
        if not cache.get_action(judgement.key, kind=judgement.kind):
            files = _pulled(cache, judgement.inputs, errand.name, stop)
            own = (str(self.context.cache_directory),)
            made = judgement.perform(files.__getitem__, own=own)
            cache.put_action(judgement.key, made, kind=judgement.kind)
        return _shared(cache, judgement.key, judgement.kind, Done(ran=True))

    def _smoke(self, errand: Errand, stop: CancelToken) -> Done:
        trial, cache = _proof(errand, Trial), self.cache.anew()
        if not cache.get_action(trial.key, kind=trial.kind):
            files = _pulled(cache, trial.inputs, errand.name, stop)
            result = try_here(self.context.ended_by(stop), trial, files[trial.file], self.servers)
            if not keep(cache, trial, result):
                return Done(ran=True, value=json.dumps(result.as_dict()))
        return _shared(cache, trial.key, trial.kind, Done(ran=True))

    @property
    def _logs(self) -> Path:
        return self.context.cache_directory / "logs"

    def _step(self, errand: Errand, stop: CancelToken) -> Done:
        action, cache, context = _action(errand), self.cache.anew(), self.context
        with cache.lock(action.key, cancel=stop):
            if not errand.again and _is_known(cache, action.key) and cache.is_shared(action.key):
                return Done(ran=False)
            cache.check_key()
            _pulled(cache, action.inputs, action.name, stop)
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
        done = Done(ran=True, log=log_of(action, self._logs))
        return _shared(cache, action.key, EntryKind.ACTION, done)


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
    """What a worker has to give, as Dask counts it, and the public key that it signs with."""
    memory = available()
    most = float(memory) if memory is not None else 1e18
    cores = float(os.cpu_count() or 1)  # what JOBS says to each step here
    return {
        "jobs": float(jobs),
        "memory": most,
        "cores": cores,
        label(context): float(jobs),
        f"{SIGNS}{context.builder_keys.own_line}": 1.0,
    }


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


def _proof(errand: Errand, kind: type[_Proof]) -> _Proof:
    try:
        proof = kind.read(errand.data)
    except NoProofError as error:
        msg = f"What a worker was sent is no {errand.kind.value}: {error}."
        raise StepError(msg, why="client and worker are of different versions") from error
    if proof.key != errand.key:  # also where the code that verifies differs
        msg = f"What a worker was sent is another {errand.kind.value} than it is called."
        raise StepError(msg, why="client and worker are of different versions")
    return proof


def _pulled(
    cache: SharedCache, inputs: Sequence[str], name: str, stop: CancelToken
) -> dict[str, Path]:
    """Have files here. Raises LostInputs with all that cannot be had."""
    blobs = in_threads(cache.blob, inputs, jobs=cache.width, name="pull", cancel=stop)
    found = {sha256: blob for sha256, blob in zip(inputs, blobs, strict=True) if blob}
    if lost := [sha256 for sha256 in inputs if sha256 not in found]:
        msg = f"What {name} needs is not in the store as it should be."
        raise LostInputs(msg, names=lost, why="it was removed or damaged there")
    return found


def _shared(cache: SharedCache, key: str, kind: EntryKind, done: Done) -> Done:
    """Return how something ended that is in the store now. Raises StoreError when it is not."""
    if not cache.is_shared(key, kind=kind):
        msg = "What a worker made is not in the store."
        why = "it cannot be reached, or the worker may not write to it"
        raise StoreError(
            msg, why=why, next="look at the worker's output, and at the store's rights"
        )
    return done


def _is_known(cache: SharedCache, key: str) -> bool:
    entry = cache.get_action(key, check=lambda value: agrees(cache, value))
    outcome = Outcome.read(key, entry) if entry else None
    return outcome is not None and all(map(cache.has, outcome.blobs))
