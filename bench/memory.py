"""Memory of a program, read at its end through ptrace: ``ru_maxrss`` would count the Python that it was forked from."""

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

TRACEME, CONT, SETOPTIONS = 0, 7, 0x4200
TRACEEXIT, EXITKILL, EVENT_EXIT = 0x40, 0x100000, 6
"""https://man7.org/linux/man-pages/man2/ptrace.2.html"""


def tracer() -> Callable[[int, int, int | None, int | None], int]:
    """The C library's ``ptrace``."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    return cast("Callable[[int, int, int | None, int | None], int]", ptrace)


def peak(words: Sequence[str]) -> tuple[float, float] | None:
    """Run once, stop it at its very end; return (peak resident, what of it is not the file's) in kB."""
    ptrace = tracer()
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if ptrace(TRACEME, 0, None, None) == 0:
                os.execve(words[0], list(words), {"PATH": os.defpath})
        finally:
            os._exit(127)
    found: tuple[float, float] | None = None
    _, status = os.waitpid(pid, 0)
    if os.WIFSTOPPED(status):
        ptrace(SETOPTIONS, pid, None, TRACEEXIT | EXITKILL)
        passed = 0
        while os.WIFSTOPPED(status):
            if status >> 8 == signal.SIGTRAP | EVENT_EXIT << 8:
                found = at_the_end(pid)
            ptrace(CONT, pid, None, passed)
            _, status = os.waitpid(pid, 0)
            stopped = os.WSTOPSIG(status) if os.WIFSTOPPED(status) else 0
            passed = 0 if stopped in {signal.SIGTRAP, 0} else stopped
    return found


def at_the_end(pid: int) -> tuple[float, float]:
    """Peak resident, and what of it is not the file's, of a process that is stopped at its end."""
    # Pages of the file are shared by all who run it; they only ever get more.
    shared = memory(pid, "smaps_rollup", "Rss") - memory(pid, "smaps_rollup", "Anonymous")
    highest = memory(pid, "status", "VmHWM")
    return highest, max(0.0, highest - shared)


def memory(pid: int, file: str, key: str) -> float:
    """One line of /proc/PID/FILE, in kB."""
    for line in Path(f"/proc/{pid}/{file}").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1])
    msg = f"/proc/{pid}/{file} has no {key}"
    raise RuntimeError(msg)
