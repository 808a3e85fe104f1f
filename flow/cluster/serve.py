"""A scheduler, and a worker that joins one: each runs until it is told to end, and leaves nothing behind."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import dask
from distributed import Nanny, Scheduler
from distributed.core import Status

from core.errors import EngineError, causes_of
from flow.cluster.worker import WorkerTools
from flow.cluster.workshop import Workshop

CONFIG: Final = {
    # It samples every thread of every worker, for charts that nobody here looks at: a third of an idle worker's time.
    "distributed.worker.profile.enabled": False,
    # A nanny starts a worker that was killed anew within some seconds; 4 s failed a run.
    "distributed.scheduler.no-workers-timeout": "60s",
    # What ends so many workers is the step's own doing.
    "distributed.scheduler.allowed-failures": 3,
    # Whoever says nothing for that long is gone: a machine that lost its power closes no connection.
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.comm.timeouts.connect": "15s",
    "distributed.comm.timeouts.tcp": "30s",
}
"""How our schedulers and workers differ from Dask's own."""

JOINING: Final = 60.0
"""Seconds for which a worker waits for its scheduler, at first and when it is lost."""

LEAVING: Final = 10.0
"""Seconds in which steps must end when a worker is told to."""


def configure() -> None:
    """Set Dask's options for this process, and have it say only what is wrong."""
    dask.config.set(CONFIG)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    logging.getLogger("distributed").propagate = False


@asynccontextmanager
async def scheduler(
    address: str, *, security: Any, dashboard: str = "127.0.0.1:0"
) -> AsyncIterator[Scheduler]:
    """Run a scheduler at ``address``, and end it. Raises EngineError when the address cannot be had.

    ``dashboard`` is where browsers find it: of this machine alone, since it asks nobody who they are.
    """
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    try:
        made = await Scheduler(
            host=host.strip("[]"),
            port=int(port),
            protocol=protocol,
            security=security,
            dashboard_address=dashboard,
        )
    except OSError as error:
        msg = f"No scheduler can be had at {address}: {error}."
        raise EngineError(
            msg, why="another program has that port, or it is no address of this machine"
        ) from error
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def worker(
    address: str,
    make: Callable[[], Workshop],
    *,
    name: str,
    resources: Mapping[str, float],
    jobs: int,
    security: Any,
    directory: str,
) -> AsyncIterator[Nanny]:
    """Run a worker for the scheduler at ``address``, in a process of its own that is started again if it is killed.

    Raises EngineError when the scheduler does not answer.
    """
    host = None if address.startswith("tls://") else "127.0.0.1"
    try:
        made = await Nanny(
            address,
            host=host,
            protocol=address.partition("://")[0],
            name=name,
            nthreads=jobs,
            resources=dict(resources),
            memory_limit=0,  # a step's limits are its engine's; Dask would end the worker with all its steps
            security=security,
            local_directory=directory,
            death_timeout=JOINING,
            silence_logs=logging.WARNING,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            config=CONFIG,
            plugins=(WorkerTools(make, name),),
        )
    except (OSError, TimeoutError, RuntimeError) as error:
        *_, cause = causes_of(error)  # Dask says first that it did not work, and last why
        msg = f"The cluster at {address} cannot be joined: {cause}"
        why = "no scheduler runs there, or it does not know this worker's certificate"
        raise EngineError(msg, why=why, next="inv cluster start, there") from error
    try:
        yield made
    finally:
        await made.close(timeout=LEAVING, reason="it was told to end")


async def until_ended(*, gone: Callable[[], bool] = lambda: False) -> None:
    """Wait for Ctrl-C, SIGTERM, or until ``gone`` says that there is nothing to wait for."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
            stack.callback(loop.remove_signal_handler, number)
        while not over.is_set() and not gone():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 1)


def has_ended(nanny: Nanny) -> bool:
    """True when a worker has given its scheduler up."""
    return nanny.status in {Status.closed, Status.failed}
