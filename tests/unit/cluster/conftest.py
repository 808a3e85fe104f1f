"""A cluster inside the test's process: a real scheduler, real workers with fake engines, and a folder as the store."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Scheduler, Worker

from builders.build import StepRunner
from builders.outcome import Outcome
from builders.plan import Step
from builders.schedule import run_plan
from builders.sources.cache import Cache
from builders.sources.objects import Folder, ObjectStore
from builders.sources.shared import SharedCache
from builders.toolchain import Toolchain
from core.builder_keys import BuilderKeys
from core.cancel import CancelToken
from core.settings import Settings
from flow.cluster.dask_pool import DaskPool
from flow.cluster.serve import configure, scheduler
from flow.cluster.worker import WorkerTools
from flow.cluster.workshop import SIGNS, ContextWorkshop, label, resources
from flow.context import Context
from recipes.load import HERE
from tests.fakes import BuildHarness, FakeEngine, Lines, Script, make_something
from tests.unit.flow.conftest import FakeEnvironment


@dataclass(kw_only=True)
class Machine:
    """One worker: its own cache, key and engine."""

    name: str
    engine: FakeEngine
    cache: Cache
    keys: BuilderKeys
    worker: Worker

    async def leave(self) -> None:
        """Go as by SIGTERM."""
        await self.worker.close()

    async def vanish(self) -> None:
        """Lose every connection without a word, as a machine does that loses its power."""
        self.worker.batched_stream.comm.abort()
        await self.worker.close(nanny=False, executor_wait=False)


@dataclass(kw_only=True)
class Cluster:
    """Runs in a thread of its own, as it would elsewhere."""

    directory: Path
    harness: BuildHarness
    loop: asyncio.AbstractEventLoop
    scheduler: Scheduler
    folder: Path
    stack: AsyncExitStack
    machines: list[Machine] = field(default_factory=list)
    environment: FakeEnvironment | str = "nobody tries anything out here"
    """Where machines that join from now on try programs out."""

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(objects=Folder(root=self.folder), scratch=self.directory / "frames")

    def stored(self, sha256: str) -> Path:
        """Where a blob lies in the store."""
        return self.folder / "cas" / sha256[:2] / sha256

    def wait(self, make: Callable[[], Any], seconds: float = 30) -> Any:
        """Run a coroutine where the cluster runs."""
        return asyncio.run_coroutine_threadsafe(make(), self.loop).result(seconds)

    def add(
        self,
        name: str,
        script: Script = make_something,
        *,
        jobs: int = 1,
        claims: Machine | None = None,
        **given: float,
    ) -> Machine:
        """Let a machine join; ``given`` are resources that differ from what it has.

        It says that it signs as the machine that it ``claims`` to be.
        """
        directory = self.directory / name
        settings = Settings.read(
            {"cache": str(directory / "cache"), "builder_key": str(directory / "builder.key")},
            environment={},
            directory=self.directory,
        )
        engine = FakeEngine(directory / "boxes", self.harness.toolchain, script)
        environment = self.environment
        context = Context(
            settings=settings,
            report=Lines(),
            find_engine=lambda _: engine,
            find_smoke_environment=lambda *_: environment,
        )
        local = Cache(directory / "cache", keys=context.builder_keys)
        vars(context)["cache"] = SharedCache(local, self.store)

        def make() -> ContextWorkshop:
            return ContextWorkshop(context)

        if claims:
            given[f"{SIGNS}{claims.keys.own_line}"] = 1.0

        async def join() -> Worker:
            worker = Worker(
                self.scheduler.address,
                name=name,
                nthreads=jobs,
                memory_limit=0,
                resources={**resources(context, jobs), **given},
                dashboard=False,
                local_directory=str(directory),
                plugins=(WorkerTools(make, name),),
            )
            return await self.stack.enter_async_context(worker)

        machine = Machine(
            name=name, engine=engine, cache=local, keys=context.builder_keys, worker=self.wait(join)
        )
        self.machines.append(machine)
        return machine

    def client(
        self,
        *,
        name: str = "",
        trusts: list[Machine] | None = None,
        alone: bool = False,
        read_only: bool = False,
    ) -> "Client":
        """A client that believes these machines; None: all that there are when it looks.

        With a ``name`` it has a cache of its own, with the sources in it; ``alone``: a token of its own, too.
        """
        harness = self.harness
        trusted: Any = TrustLater(self, trusts)
        keys = BuilderKeys(path=self.directory / f"{name}client.key", trusted=trusted)
        local = Cache(self.directory / name / "cache" if name else harness.cache.root, keys=keys)
        if name:
            for archive in harness.world.mirror.iterdir():
                local.put_file(archive)
        cache = SharedCache(local, self.store, report=harness.report, read_only=read_only)
        cancel = CancelToken() if alone else harness.cancel
        builder = replace(harness.builder(cache=cache), cancel=cancel, logs=local.root / "logs")
        return Client(cluster=self, cache=cache, builder=builder, cancel=cancel)

    def ran(self) -> list[str]:
        """What ran anywhere, machine by machine."""
        return [step for machine in self.machines for step in machine.engine.ran]


class TrustLater:
    """The public keys of machines, read when they are asked for: some join later."""

    def __init__(self, cluster: Cluster, machines: list[Machine] | None) -> None:
        self.cluster = cluster
        self.machines = machines

    def __iter__(self) -> Iterator[str]:
        found = self.cluster.machines if self.machines is None else self.machines
        return iter([machine.keys.own_line for machine in found])


@dataclass(kw_only=True)
class Client:
    """Somebody who builds on the cluster."""

    cluster: Cluster
    cache: SharedCache
    builder: StepRunner
    cancel: CancelToken

    def blob(self, sha256: str) -> Path:
        """A file that must be here."""
        blob = self.cache.blob(sha256)
        assert blob is not None
        return blob

    def pool(self, **parts: Any) -> DaskPool:
        context = Context(
            settings=Settings.read({}, environment={}), report=self.cluster.harness.report
        )
        address = self.cluster.scheduler.address
        parts = {"address": address, "label": label(context), "patience": 3.0, **parts}
        return DaskPool(self.builder, self.cache, **parts)

    def run(self, steps: tuple[Step, ...], **parts: Any) -> dict[Step, Outcome]:
        return run_plan(steps, self.builder, pool=self.pool(**parts), cancel=self.cancel)

    def look_up(self, steps: tuple[Step, ...]) -> dict[str, Outcome]:
        """What is known of these steps, by slug."""
        found: dict[Step, Outcome] = {}
        for step in steps:
            if all(need in found for _, need in step.needs):
                inputs = {name: found[need] for name, need in step.needs}
                if outcome := self.builder.look_up(step, inputs):
                    found[step] = outcome
        return {step.slug: outcome for step, outcome in found.items()}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    configure()
    harness = BuildHarness.open(tmp_path / "client")
    harness.toolchain = Toolchain.installed(HERE)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="cluster")
    thread.start()
    stack = AsyncExitStack()

    async def start() -> Scheduler:
        with dask.config.set({"distributed.scheduler.no-workers-timeout": "2s"}):
            made = scheduler("tcp://127.0.0.1:0", security=None)
            return await stack.enter_async_context(made)

    try:
        yield Cluster(
            directory=tmp_path,
            harness=harness,
            loop=loop,
            scheduler=asyncio.run_coroutine_threadsafe(start(), loop).result(30),
            folder=tmp_path / "store",
            stack=stack,
        )
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
