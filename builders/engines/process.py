"""Runs one program of this machine to its end, and ends all of it when it must not go on."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from builders.engines.engine import Usage
from builders.engines.limits import GLANCE, DiskWatch, Family, Limits
from core.cancel import CancelToken

LONGEST = 0.05
"""Seconds between two looks at a process that takes its time."""


class Ended(NamedTuple):
    """How a program ended, and what it took with all its descendants that were waited for."""

    code: int
    usage: Usage


def run_process(
    argv: Sequence[str],
    *,
    stdout: BinaryIO,
    stderr: BinaryIO,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float,
    cancel: CancelToken,
    doing: str,
    limits: Limits | None = None,
    writes: Path | None = None,
) -> Ended | None:
    """Run ``argv`` in a session of its own, so that its whole family can be ended; return None at the deadline.

    Raises Cancelled, with the words of ``doing``, when ``cancel`` is set, and StepError when it takes more than
    ``limits``; ``writes`` is the directory whose disk they count. However it ends, nothing of it is left running.
    """
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    deadline = time.monotonic() + seconds
    glance = time.monotonic() + GLANCE
    disk = DiskWatch(writes, limits, doing=doing) if limits and writes else None
    ended, descriptor = select.poll(), _descriptor(process.pid)
    try:
        if descriptor is not None:
            ended.register(descriptor, select.POLLIN)
        pause = 0.001
        while True:
            # Not `process.wait`, which forgets what the process took; and `getrusage` would
            # count the steps of all threads together.
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return Ended(process.returncode, _usage(usage))
            if descriptor is None:
                cancel.wait(pause)
                pause = min(pause * 2, LONGEST)
            else:
                ended.poll(LONGEST * 1000)
            cancel.check(doing)
            if time.monotonic() > deadline:
                return None
            if limits and time.monotonic() > glance:
                Family.of(process.pid).check(limits, doing=doing)
                if disk:
                    disk.check()
                glance = time.monotonic() + GLANCE
    finally:
        if descriptor is not None:
            os.close(descriptor)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def _descriptor(pid: int) -> int | None:
    """A descriptor that can be read when the process ends; None where the kernel has none, as gVisor's.

    Looking again and again instead, ever more seldom, doubles the time of a run that is over soon.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _usage(usage: resource.struct_rusage) -> Usage:
    # https://man7.org/linux/man-pages/man2/getrusage.2.html: ru_maxrss is in kB, of the largest one. The child
    # begins as a copy of this process: where nothing of it was larger, this is our own size and says nothing.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rss = usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else None
    return Usage(cpu=round(usage.ru_utime + usage.ru_stime, 3), rss=rss)
