"""What runs on a worker: an errand's step, as it would run on the client, ended as soon as nobody wants it any more."""

import contextlib
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from distributed import Worker, WorkerPlugin, get_worker
from distributed.core import Status

from core.cancel import CancelToken
from core.errors import FromscratchError
from flow.cluster.errand import TOPIC, Errand, Reply
from flow.cluster.workshop import Workshop

GLANCE: Final = 0.5
"""Seconds between two looks at whether anybody still wants a step: Dask ends none by itself (dask/distributed#4694)."""

WANTED: Final = frozenset({"executing", "long-running"})
"""States of a task that somebody waits for."""

LARGEST_LOG: Final = 1 << 20
"""Bytes of the end of a log that go back to the client."""


def work(text: str) -> Reply:
    """Do an errand: what clients have run on a worker. Raises what the step raises, with the log."""
    worker = get_worker()
    plugin: WorkerTools = worker.plugins[TOPIC]
    return plugin.run(worker, str(worker.get_current_task()), Errand.read(text))


class WorkerTools(WorkerPlugin):  # type: ignore[misc]  # it has no types
    """All that a worker's process needs, made when it starts."""

    name = TOPIC

    def __init__(self, make: Callable[[], Workshop], worker: str) -> None:
        """``make`` goes to the process of that worker, and is called there."""
        self.make = make
        self.worker = worker

    def setup(self, worker: Worker) -> None:
        self.workshop = self.make()
        self.workshop.open()
        self.lock = threading.Lock()
        self.busy: set[int] = set()
        self.stops: set[CancelToken] = set()

    def teardown(self, worker: Worker) -> None:
        for stop in list(self.stops):
            stop.set()
        self.workshop.close()

    def run(self, worker: Worker, key: str, errand: Errand) -> Reply:
        """Do one errand in this thread."""
        began = time.monotonic()
        with self._lane() as number, self._watched(worker, key) as stop:
            name = self.worker
            worker.log_event(TOPIC, {"id": errand.id, "name": errand.name, "by": name})
            try:
                done = self.workshop.perform(errand, stop)
            except FromscratchError as error:
                _label(error, name, self.workshop.log_of(errand))
                raise
            return Reply(
                worker=name,
                lane=f"{name}_{number}",
                seconds=round(time.monotonic() - began, 3),
                ran=done.ran,
                builder=self.workshop.builder,
                log=_end_of(done.log),
                value=done.value,
            )

    @contextlib.contextmanager
    def _lane(self) -> Iterator[int]:
        with self.lock:
            number = next(n for n in range(len(self.busy) + 1) if n not in self.busy)
            self.busy.add(number)
        try:
            yield number
        finally:
            with self.lock:
                self.busy.discard(number)

    @contextlib.contextmanager
    def _watched(self, worker: Worker, key: str) -> Iterator[CancelToken]:
        """Lend a token that is set once the task is wanted no more, or the worker goes."""
        stop, over = CancelToken(), threading.Event()

        def watch() -> None:
            while not over.wait(GLANCE):
                task = worker.state.tasks.get(key)
                gone = worker.status in {Status.closing, Status.closed, Status.failed}
                if gone or task is None or task.state not in WANTED:
                    stop.set()
                    return

        watcher = threading.Thread(target=watch, name=f"watch-{key}", daemon=True)
        watcher.start()
        self.stops.add(stop)
        try:
            yield stop
        finally:
            self.stops.discard(stop)
            over.set()
            watcher.join()


def _label(error: FromscratchError, worker: str, log: Path | None) -> None:
    """Add to an error where it happened, and the log: a client has neither."""
    about: Any = error
    about.worker, about.log = worker, _end_of(log)


def _end_of(log: Path | None) -> bytes:
    if log is None:
        return b""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LARGEST_LOG))
            return zlib.compress(file.read(LARGEST_LOG))
    except OSError:
        return b""
