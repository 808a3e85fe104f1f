"""Runs steps on the workers of a Dask cluster. The client plans and looks up; a worker does one step and signs it."""

import contextlib
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final, Self

import dask
from distributed import Client
from distributed.client import FutureCancelledError
from distributed.core import CommClosedError
from distributed.scheduler import KilledWorker, NoValidWorkerError
from distributed.security import Security

from builders.action import Action
from builders.build import StepRunner
from builders.memory import Load
from builders.outcome import Outcome
from builders.perform import log_of
from builders.plan import Step
from builders.sources.shared import SharedCache
from builders.timings import EventKind
from core.cancel import Cancelled
from core.errors import EngineError, FromscratchError, LostInputs, StepError, StoreError
from core.files import write_file
from core.kinds import EntryKind
from core.threads import GLANCE
from flow.cluster.errand import TOPIC, Errand, Reply
from flow.cluster.worker import work
from flow.cluster.workshop import SIGNS
from recipes.model import Source

TURNS: Final = 3
"""How often a step is asked for when a worker lacks what is here, or somebody else's cancelling ended it."""

MOST: Final = 512
"""Steps of one client at a time, whatever the number of workers."""

CONNECT: Final = 15.0
"""Seconds for a scheduler to answer."""

PAGE: Final = "/info/main/workers.html"

FRESH: Final = 2.0
"""Seconds for which what is known of the workers is good enough."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What the workers have together that can do this client's steps."""

    slots: int = 0
    """Steps at a time."""
    places: tuple[str, ...] = ()
    """Their addresses."""
    strangers: Mapping[str, str] = field(default_factory=dict)
    """Names and public keys of those that could, but are not trusted here."""
    memory: float = 0
    """Bytes of the one that has most."""
    cores: int = 1
    """JOBS of the one that has most."""

    @classmethod
    def of(cls, info: Mapping[str, Any], label: str, trusted: Collection[str]) -> "Workers":
        """Read what a scheduler says; ``trusted`` are public keys."""
        strangers: dict[str, str] = {}
        places: list[str] = []
        for place, one in info.get("workers", {}).items():
            keys = [name.removeprefix(SIGNS) for name in one["resources"] if SIGNS in name]
            if label in one["resources"] and trusted and not set(keys) & set(trusted):
                strangers[str(one["name"])] = " ".join(keys)
            elif label in one["resources"]:
                places.append(place)
        found = [info["workers"][place] for place in places]
        jobs = [int(one["resources"].get("jobs", 0)) for one in found]
        return cls(
            slots=sum(jobs),
            places=tuple(places),
            strangers=strangers,
            memory=max((one["resources"].get("memory", 0) for one in found), default=0),
            cores=max((int(one["resources"].get("cores", 1)) for one in found), default=1),
        )

    def room(self, load: Load) -> float:
        """Bytes that a step asks for: never more than one has who runs it alone."""
        return min(float(load.needed(self.cores)), self.memory or float("inf"))


def connect(address: str, security: Security | None, *, patience: float = CONNECT) -> Client:
    """Return a connection to a scheduler. Raises EngineError when it does not answer in ``patience`` seconds."""
    with dask.config.set({"distributed.comm.timeouts.connect": f"{patience:.0f}s"}):
        try:
            return Client(
                address, security=security, timeout=patience, set_as_default=False, name="inv"
            )
        except (OSError, TimeoutError, RuntimeError) as error:
            msg = f"The cluster at {address} cannot be reached: {error}"
            why = "no scheduler runs there, or it does not know this machine's certificate"
            raise EngineError(msg, why=why, next="inv cluster start, there") from error


def dashboard(client: Client) -> str:
    """Where browsers of the scheduler's machine see what goes on: the page that needs no further package."""
    return str(client.dashboard_link).replace("/status", PAGE)


class DaskPool:
    """A pool whose threads wait for workers; see `builders.pool.Pool`."""

    def __init__(
        self,
        builder: StepRunner,
        cache: SharedCache,
        *,
        address: str,
        label: str,
        security: Security | None = None,
        patience: float = CONNECT,
    ) -> None:
        """``cache`` has a store behind it that this client may write to; ``label`` names who may run its steps.

        ``patience`` is the seconds for a scheduler to answer.
        """
        self.patience = patience
        self.builder = builder
        self.cache = cache
        self.address = address
        self.label = label
        self.security = security
        self.lock = Lock()
        self.names: dict[str, str] = {}
        """What is asked for now: Dask's name of it, and ours."""
        self.begun: set[str] = set()
        self._client: Client | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._trusted = {cache.keys.own_line, *(key.line for key in cache.keys.others)}
        self._named: set[str] = set()
        self._known: tuple[float, Workers] = (0.0, Workers())

    def __enter__(self) -> Self:
        self._client = connect(self.address, self.security, patience=self.patience)
        self._client.subscribe_topic(TOPIC, self._begun)
        self._threads = ThreadPoolExecutor(max_workers=MOST, thread_name_prefix="remote")
        self.builder.report.note(f"cluster {self.address}: dashboard {dashboard(self._client)}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown()
        if self._client:
            self._client.close(timeout=5)

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        # One more for each worker than it can run, so that none waits for the client; the others compete here, where
        # it is known which is urgent.
        workers = self.workers()
        return not running or len(running) < min(MOST, workers.slots + len(workers.places))

    def submit(
        self, step: Step, inputs: Mapping[str, Outcome], *, urgency: float, again: bool
    ) -> Future[Outcome]:
        assert self._threads, "the pool is not open"
        return self._threads.submit(self._run, step, dict(inputs), urgency, again)

    def workers(self) -> Workers:
        """Return what the scheduler said of the workers a moment ago."""
        assert self._client, "the pool is not open"
        with self.lock:
            when, workers = self._known
            if time.monotonic() - when > FRESH:
                with contextlib.suppress(OSError, CommClosedError, TimeoutError):
                    info = self._client.scheduler_info(n_workers=-1)
                    workers = Workers.of(info, self.label, self._trusted)
                self._known = (time.monotonic(), workers)
        for name in workers.strangers.keys() - self._named:
            self._named.add(name)
            self.builder.report.warn(f"{self._untrusted(workers, name)}: it runs nothing of this")
        return workers

    def _untrusted(self, workers: Workers, *names: str) -> str:
        words = [
            f"{name} (FROMSCRATCH_TRUSTED_BUILDERS={workers.strangers[name]})" for name in names
        ]
        return f"not trusted here: {', '.join(words)}"

    def _run(
        self, step: Step, inputs: Mapping[str, Outcome], urgency: float, again: bool
    ) -> Outcome:
        builder = self.builder
        action = builder.action(step, inputs)
        errand = Errand(
            kind=EntryKind.ACTION,
            key=action.key,
            name=step.name,
            data=action.json().decode(),
            again=again or step.recipe.name in builder.rebuild or self._is_damaged(action.key),
        )
        source = step.release.source
        reply = self.ask_for(errand, action.inputs, action.load, urgency=urgency, source=source)
        outcome = self._believed(action, reply, again=errand.again)
        ended = time.monotonic()
        # On this machine's clock; it may have begun for somebody else, before there was one.
        began = max(ended - reply.seconds, builder.timings.zero)
        builder.timings.add(
            step.name,
            EventKind.STEP,
            began=began,
            ended=ended,
            facts={**outcome.facts(step), "worker": reply.worker},
            lane=reply.lane,
        )
        if reply.ran:
            builder.took(step, outcome)
        builder.report.step_finished(step.name, outcome.seconds, cached=not reply.ran)
        return outcome

    def ask_for(
        self,
        errand: Errand,
        inputs: Sequence[str],
        load: Load,
        *,
        urgency: float = 0.0,
        source: Source | None = None,
    ) -> Reply:
        """Have something done, and see to it that the workers find what they need.

        Raises what it raises there, LostInputs, Cancelled, EngineError, StepError and StoreError.
        """
        for turn in range(TURNS):
            self._offer(errand, inputs)
            try:
                with self._asked(errand):
                    return self._ask(errand, load, urgency)
            except LostInputs as error:
                # What is here was damaged there; what is not here somebody has to make again.
                self.cache.distrust(error.names)
                if source and source.sha256 in error.names and self.builder.fetch:
                    self.builder.fetch(source)
                if turn == TURNS - 1 or not all(map(self.cache.local.has, error.names)):
                    raise
            except Cancelled:
                # Somebody else, who wanted the same step, has given it up.
                if turn == TURNS - 1 or self.builder.cancel:
                    raise
        raise AssertionError  # the last turn returns or raises

    def _ask(self, errand: Errand, load: Load, urgency: float) -> Reply:
        assert self._client, "the pool is not open"
        workers = self.workers()
        if workers.strangers and not workers.places:
            msg = f"No worker of {self.address} is trusted here."
            why = self._untrusted(workers, *sorted(workers.strangers))
            raise EngineError(msg, why=why, next="if they are yours, name their keys")
        asked = self._client.submit(
            work,
            errand.text(),
            key=errand.id,
            priority=round(1000 * urgency),
            retries=0,
            # Nobody waits for a step that will not be believed.
            workers=list(workers.places) if workers.strangers else None,
            resources={"jobs": 1, "memory": workers.room(load), self.label: 1},
        )
        over = Event()
        asked.add_done_callback(lambda _: over.set())
        try:
            while not over.wait(GLANCE):
                self.builder.cancel.check(errand.name)
            reply: Reply = asked.result(timeout=CONNECT)
        except FromscratchError as error:
            raise self._told(error, errand)  # noqa: B904 - it is the same error
        except NoValidWorkerError as error:
            msg = f"No worker of {self.address} can run this client's steps."
            why = "none has joined, or they have another commit, toolchain or kind of processor"
            raise EngineError(msg, why=why, next="inv cluster status") from error
        except KilledWorker as error:
            msg = f"{errand.name} ended every worker that it ran on."
            why = "it takes more memory than they have, or somebody ended them"
            raise StepError(msg, why=why, next="look at the workers' own output") from error
        except (FutureCancelledError, CommClosedError, OSError, TimeoutError) as error:
            self.builder.cancel.check(errand.name)
            msg = f"The cluster at {self.address} was lost: {error}"
            why = "its scheduler was ended, or the network fails"
            raise EngineError(
                msg, why=why, next="inv cluster start, there; then run again"
            ) from error
        finally:
            with contextlib.suppress(Exception):  # a scheduler that is gone needs no word
                if asked.status == "pending":
                    asked.cancel(force=False)
                asked.release()
        return reply

    def _offer(self, errand: Errand, inputs: Sequence[str]) -> None:
        """See to it that the store has all that is needed. Raises LostInputs and StoreError."""
        lost = [sha256 for sha256 in inputs if not self.cache.offer_blob(sha256)]
        if not lost:
            return
        if all(map(self.cache.local.has, lost)):
            msg = "The store does not take what the workers need."
            why = "it cannot be reached, or this client may not write to it"
            raise StoreError(msg, why=why, next="name a store that can be written: --store URL")
        msg = f"What {errand.name} needs is neither here nor in the store."
        raise LostInputs(msg, names=lost, why="somebody removed it meanwhile", next="run again")

    def unbelieved(self, what: str, reply: Reply) -> StepError:
        """Return the error for what no trusted builder has signed."""
        msg = f"What {reply.worker} made of {what} is not believed."
        why = "it is not signed by a builder that is trusted here, or the store lost it"
        next = f"if that worker is yours: FROMSCRATCH_TRUSTED_BUILDERS={reply.builder}"
        return StepError(msg, why=why, next=next)

    def _is_damaged(self, key: str) -> bool:
        """Whether what is known of a step names bytes that the store could not give."""
        entry = self.cache.local.get_action(key)
        outcome = Outcome.read(key, entry) if entry else None
        return outcome is not None and self.cache.is_damaged(outcome.blobs)

    def _believed(self, action: Action, reply: Reply, *, again: bool) -> Outcome:
        """Return what a trusted builder has signed for a step. Raises StepError when nobody has.

        What was made ``again`` may be something else than what is known here.
        """
        get = self.cache.get_anew if again else self.cache.get_action
        entry = get(action.key, check=self.builder.agrees)
        outcome = Outcome.read(action.key, entry) if entry else None
        if outcome is None:
            raise self.unbelieved(action.name, reply)
        if reply.ran:
            self.cache.restored(outcome.blobs)
        self._keep_log(log_of(action, self.builder.logs), reply.log)
        return replace(outcome, cached=not reply.ran)

    def _told(self, error: FromscratchError, errand: Errand) -> FromscratchError:
        """Return a worker's error as it is true here: with the worker, and with the log where it is now."""
        about: Any = error
        if worker := getattr(about, "worker", ""):
            error.what = f"{error.what}\n  It was run by {worker}."
            del about.worker
        if data := about.__dict__.pop("log", b""):
            path = self.builder.logs / f"{errand.id}.log"
            self._keep_log(path, data)
            error.next = f"read the whole log: {path}"
        return error

    def _keep_log(self, path: Path, data: bytes) -> None:
        if data:
            path.unlink(missing_ok=True)
            write_file(path, zlib.decompress(data))

    @contextlib.contextmanager
    def _asked(self, errand: Errand) -> Iterator[None]:
        with self.lock:
            if errand.kind is EntryKind.ACTION:  # of the others there are many, and they are short
                self.names[errand.id] = errand.name
        try:
            yield
        finally:
            with self.lock:
                self.names.pop(errand.id, None)

    def _begun(self, event: tuple[float, Mapping[str, str]]) -> None:
        """A worker says what it begins; it may be another client's."""
        _, said = event
        if name := self.names.get(said.get("id", "")):
            if name not in self.begun:  # a step of a worker that was lost begins again
                self.begun.add(name)
                self.builder.report.step_started(name)
            self.builder.report.note(f"        {name} on {said.get('by', '?')}")
