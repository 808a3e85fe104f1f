"""A step's log: written up to a bound, with its beginning and its end; and the end of it, read without the rest."""

import array
import contextlib
import fcntl
import os
import select
import termios
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from core.files import storage_error

CAP = 64 << 20
"""Bytes of a log on the disk. What goes beyond it is left out of the middle."""

TAIL = 1 << 20
"""Bytes of the end that are kept then."""

PIECE = 1 << 16
"""Bytes that are read at a time: as much as a pipe holds. The end of a log that is shown is within as many."""


class CappedLog:
    """A log that takes all and keeps its beginning and its end; the file has no buffer and is at its end."""

    def __init__(self, file: BinaryIO, *, cap: int = CAP, tail: int = TAIL) -> None:
        self._file = file
        self._keep = min(tail, cap // 2)
        self._left = max(0, cap - self._keep - file.tell())
        self._tail = bytearray()
        self._size = 0
        """Bytes that came after the beginning."""

    def write(self, piece: bytes) -> None:
        """Take some bytes. Raises OSError when the disk does not."""
        head, rest = piece[: self._left], piece[self._left :]
        if head:
            self._left -= len(head)
            self._put(head)
        if rest:
            self._size += len(rest)
            self._tail += rest
            if len(self._tail) > 2 * self._keep:
                del self._tail[: -self._keep]

    def finish(self) -> None:
        """Add the end. Raises OSError when the disk does not take it."""
        tail = self._tail[-self._keep :]
        if left_out := self._size - len(tail):
            self._put(b"\n[%d bytes of this log were left out]\n" % left_out)
        self._put(tail)

    def _put(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]


@contextlib.contextmanager
def capped_log(path: Path, *, cap: int = CAP, tail: int = TAIL) -> Iterator[BinaryIO]:
    """Lend a pipe, to be a program's output; what comes through it is added to the log at ``path``.

    When the block ends, what is in the pipe is still read, but nobody is waited for: a process that was left behind
    may hold the pipe for ever. Raises StorageError at the end when the disk did not take the log.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    errors: list[OSError] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("ab", buffering=0))
        log = CappedLog(file, cap=cap, tail=tail)
        output, stream = _pipe(stack)
        over, end = _pipe(stack)
        thread = Thread(target=_drain, args=(output, over, log, errors), name="log")
        thread.start()
        try:
            yield stream
        finally:
            stream.close()
            end.close()
            thread.join()
    if errors:
        raise storage_error(errors[0], path) from errors[0]


def _pipe(stack: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    reading, writing = os.pipe()
    return (
        stack.enter_context(os.fdopen(reading, "rb", buffering=0)),
        stack.enter_context(os.fdopen(writing, "wb", buffering=0)),
    )


def _drain(output: BinaryIO, over: BinaryIO, log: CappedLog, errors: list[OSError]) -> None:
    """Read until nobody writes any more, or it is over and what came before that is read."""
    poll = select.poll()
    for file in (output, over):
        poll.register(file, select.POLLIN)
    left = 0
    while True:
        ready = [number for number, _ in poll.poll()] if not left else []
        if over.fileno() in ready:
            if not (left := _waiting(output)):
                break
            poll.unregister(over)
        piece = os.read(output.fileno(), min(PIECE, left or PIECE))
        if not piece:
            break
        # When the disk is full the program must not stand still all the same: how it ends is what matters.
        with _noted(errors):
            log.write(piece)
        if left and not (left := left - len(piece)):
            break
    with _noted(errors):
        log.finish()


def _waiting(pipe: BinaryIO) -> int:
    """How many bytes are in a pipe: https://man7.org/linux/man-pages/man2/FIONREAD.2const.html."""
    number = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, number)
    return number[0]


@contextlib.contextmanager
def _noted(errors: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        errors[:] = errors or [error]


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log of any size, as much of them as the last `PIECE` bytes hold. Raises OSError."""
    with log.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - PIECE)
        file.seek(start)
        lines = file.read(PIECE).decode("utf-8", "replace").splitlines()
    whole = lines[1:] if start and len(lines) > 1 else lines
    return whole[-count:]
