"""The same for thousands of things, in processes: Python runs one thread at a time, and a machine has several cores."""

import os
import pickle
import selectors
import signal
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from core.cancel import CancelToken
from core.threads import GLANCE

_NUMBER: Final = struct.Struct("=I")
_LENGTH: Final = struct.Struct("=Q")
_MOST_CHUNKS: Final = 4096
"""What fits into a pipe (64 KiB, https://man7.org/linux/man-pages/man7/pipe.7.html) before anybody reads."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class WorkerError(RuntimeError):
    """A process ended before it was done: killed, or out of memory."""


@dataclass(kw_only=True)
class _Worker:
    pid: int
    pipe: int
    data: bytearray


def in_processes(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    jobs: int,
    cancel: CancelToken,
    chunk: int = 32,
) -> list[_Result]:
    """Return what ``function`` makes of each item, in their order; results are pickled.

    The processes are copies of this one, made at once: nothing is imported or sent to them. They end with it, however
    it ends. Where a copy would not be whole, since other threads run, or would not pay, everything is done here.
    Raises what ``function`` raises, WorkerError, and Cancelled.
    """
    chunk = max(chunk, -(-len(items) // _MOST_CHUNKS))
    count = -(-len(items) // chunk)
    jobs = min(jobs, count)
    if jobs < 2 or threading.active_count() > 1:
        results = []
        for item in items:
            cancel.check("judging files")
            results.append(function(item))
        return results

    def work(number: int) -> list[_Result]:
        return [function(item) for item in items[number * chunk : (number + 1) * chunk]]

    tasks, put = os.pipe()
    os.write(put, b"".join(map(_NUMBER.pack, range(count))))
    os.close(put)
    workers: list[_Worker] = []
    try:
        for _ in range(jobs):
            workers.append(_start(tasks, work, [worker.pipe for worker in workers]))
        done = _gather(workers, cancel)
    finally:
        os.close(tasks)
        for worker in workers:
            os.close(worker.pipe)
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
    if len(done) < count:
        msg = f"A process that judged files ended early: {count - len(done)} of {count} parts are missing."
        raise WorkerError(msg)
    return [result for number in range(count) for result in done[number]]


def _start(tasks: int, work: Callable[[int], object], others: Sequence[int]) -> _Worker:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return _Worker(pid=pid, pipe=ours, data=bytearray())
    # From here on in the copy, which never returns.
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with whoever made it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for pipe in (ours, *others):
            os.close(pipe)
        while task := os.read(tasks, _NUMBER.size):
            (number,) = _NUMBER.unpack(task)
            _send(theirs, _answer(number, work))
        os._exit(0)
    except BaseException:
        os._exit(1)  # whoever made it finds that something is missing


def _answer(number: int, work: Callable[[int], object]) -> bytes:
    try:
        return pickle.dumps((number, work(number), None))
    except Exception as error:
        try:
            return pickle.dumps((number, [], error))
        except Exception:
            return pickle.dumps((number, [], WorkerError(repr(error))))


def _send(pipe: int, data: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(pipe, left) :]


def _gather(workers: Sequence[_Worker], cancel: CancelToken) -> dict[int, list[Any]]:
    done: dict[int, list[Any]] = {}
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.pipe, selectors.EVENT_READ, worker)
        while selector.get_map():
            cancel.check("judging files")
            for key, _ in selector.select(GLANCE):
                data = os.read(key.fd, 1 << 20)
                if not data:
                    selector.unregister(key.fd)
                    continue
                key.data.data += data
                for number, results, error in _whole(key.data.data):
                    if error is not None:
                        raise error
                    done[number] = results
    return done


def _whole(data: bytearray) -> list[tuple[int, list[Any], Exception | None]]:
    """Take what has arrived as a whole off the front of ``data``."""
    found = []
    while len(data) >= _LENGTH.size:
        (size,) = _LENGTH.unpack_from(data)
        if len(data) < _LENGTH.size + size:
            break
        found.append(pickle.loads(bytes(data[_LENGTH.size : _LENGTH.size + size])))
        del data[: _LENGTH.size + size]
    return found
