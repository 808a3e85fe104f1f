"""Runs programs and measures each: its code, its output, its time and CPU time, its memory at its peak.

A small process of its own does that. The campaign has threads, and must not fork; and ``ru_maxrss`` of a program counts
the process that it was forked from, so its memory is read by ptrace at its very end, as `bench.memory` does.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from bench.memory import (
    CONT,
    EVENT_EXIT,
    EXITKILL,
    SETOPTIONS,
    TRACEEXIT,
    TRACEME,
    at_the_end,
    tracer,
)
from tests.interpreters import ROOT

MOST_OUTPUT = 1 << 20


class Measured(NamedTuple):
    """How a run of a program ended."""

    code: int
    output: bytes
    errors: bytes
    seconds: float
    cpu: float
    """Seconds, of the user's and the kernel's."""
    resident: float
    """kB at the peak; 0: nobody may look."""
    own: float
    """kB at the peak that are not the file's."""
    late: bool
    """It did not end by itself."""


class Meter:
    """The other process, as long as the block of `metering` lasts."""

    def __init__(self, to: IO[bytes], back: IO[bytes]) -> None:
        self._to, self._back = to, back

    def run(self, words: Sequence[str], seconds: float) -> Measured:
        """Run a program in an empty environment; it is killed when it lasts longer than that."""
        self._to.write(json.dumps([list(words), seconds]).encode() + b"\n")
        self._to.flush()
        code, output, errors, *rest = json.loads(self._back.readline())
        return Measured(code, bytes.fromhex(output), bytes.fromhex(errors), *rest)


@contextmanager
def metering() -> Iterator[Meter]:
    """Start the other process, and end it."""
    words = [sys.executable, "-S", "-m", "tests.campaigns.meter"]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Meter(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def measure(words: Sequence[str], limit: float) -> Measured:
    """Run one program, traced. To be called where there are no threads."""
    ptrace = tracer()
    pipes = os.pipe(), os.pipe()
    for _, end in pipes:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, MOST_OUTPUT)  # read when all is over
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, (_, end) in enumerate(pipes, 1):
                os.dup2(end, number)
            for descriptor in pipes[0] + pipes[1]:
                os.close(descriptor)
            ptrace(TRACEME, 0, None, None)
            os.execve(words[0], list(words), {})
        finally:
            os._exit(127)
    for _, end in pipes:
        os.close(end)
    late: list[int] = []

    def end_it(number: int, _: object) -> None:
        late.append(number)
        os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end_it)
    signal.setitimer(signal.ITIMER_REAL, limit)
    resident = own = 0.0
    known = False
    while True:
        _, status, usage = os.wait4(pid, 0)
        if not os.WIFSTOPPED(status):
            break
        passed = os.WSTOPSIG(status)
        if not known:
            known = True
            ptrace(SETOPTIONS, pid, None, TRACEEXIT | EXITKILL)
        elif status >> 8 == signal.SIGTRAP | EVENT_EXIT << 8:
            resident, own = at_the_end(pid)
        ptrace(CONT, pid, None, 0 if passed == signal.SIGTRAP else passed)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return Measured(
        os.waitstatus_to_exitcode(status),
        everything(pipes[0][0]),
        everything(pipes[1][0]),
        time.monotonic() - began,
        usage.ru_utime + usage.ru_stime,
        resident,
        own,
        bool(late),
    )


def everything(descriptor: int) -> bytes:
    """What is left in a pipe that nobody writes into any more."""
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


def main() -> None:
    """Answer each line of the standard input by one."""
    for line in sys.stdin:
        words, limit = json.loads(line)
        code, output, errors, *rest = measure(words, limit)
        print(json.dumps([code, output.hex(), errors.hex(), *rest]), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the campaign ends us
    main()
