"""What a step may take of the machine, and who watches that it does not take more."""

import contextlib
import os
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import StepError

GLANCE = 0.25
"""Seconds between two looks at what a step takes."""

FAULT = "a fault in the step"

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one step, all its processes together; the defaults are several times what the largest recipe here takes."""

    memory: int = 8 << 30
    """Bytes that are its own: what is read from files does not count."""
    processes: int = 1024
    """At a time."""
    disk: int = 16 << 30
    """Bytes of disk below the step's own directory at a time."""
    files: int = 1_000_000
    """Files and directories there."""
    seconds: float = 3600.0
    """From its beginning to its end."""


class DiskWatch:
    """Looks again and again at what a step has written, and spends a twentieth of the time on that at most."""

    def __init__(self, directory: Path, limits: Limits, *, doing: str) -> None:
        self.directory = directory
        self.limits = limits
        self.doing = doing
        self.next = 0.0

    def check(self) -> None:
        """Raise StepError where it is more than it may be."""
        began = time.monotonic()
        if began < self.next:
            return
        files = size = 0
        for space in disk_use(self.directory):
            files, size = files + 1, size + space
            if size > self.limits.disk:
                taken = f"took more than {self.limits.disk >> 20:,} MiB of disk"
                raise exceeded(self.doing, taken, setting="FROMSCRATCH_STEP_DISK")
            if files > self.limits.files:
                taken = f"made more than {self.limits.files:,} files and directories"
                msg = f"'{_short(self.doing)}' was ended: it {taken}."
                raise StepError(msg, why=FAULT)
        self.next = time.monotonic() + max(GLANCE, 20 * (time.monotonic() - began))


def disk_use(directory: Path) -> Iterator[int]:
    """Yield the bytes of disk of each file and directory below ``directory``; nothing is followed.

    It goes on while somebody changes the tree, and what was removed meanwhile is left out. A directory that may not be
    read is made readable: what hides in it counts too.
    """
    left = [str(directory)]
    while left:
        path = left.pop()
        for entry in _entries(path):
            with contextlib.suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                yield state.st_blocks * 512  # whatever the file system's block is: stat(2)
                if stat.S_ISDIR(state.st_mode):
                    left.append(entry.path)


def _entries(path: str) -> list[os.DirEntry[str]]:
    for _ in range(2):
        try:
            with os.scandir(path) as found:
                return list(found)
        except PermissionError:
            with contextlib.suppress(OSError):
                os.chmod(path, 0o700)  # noqa: PTH101
        except OSError:
            break
    return []


@dataclass(frozen=True, kw_only=True)
class Family:
    """A process with all that descend from it, at one moment."""

    pids: tuple[int, ...]
    memory: int
    """Bytes, as `Limits.memory` counts them."""

    @classmethod
    def of(cls, pid: int) -> "Family":
        """Look at a process. Those that nobody is the parent of any more are not seen, nor those that end meanwhile."""
        pids, left = [], [pid]
        memory = 0
        while left:
            pid = left.pop()
            pids.append(pid)
            left.extend(_children(pid))
            memory += _memory(pid)
        return cls(pids=tuple(pids), memory=memory)

    def check(self, limits: Limits, *, doing: str) -> None:
        """End them all where they take more than they may, and raise StepError with the words of ``doing``."""
        if len(self.pids) > limits.processes:
            taken = f"ran more than {limits.processes:,} processes at a time"
            error = exceeded(doing, taken, setting="FROMSCRATCH_STEP_PROCESSES")
        elif self.memory > limits.memory:
            error = too_much_memory(doing, limits)
        else:
            return
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        raise error


def too_much_memory(doing: str, limits: Limits) -> StepError:
    """The error for a step whose memory has run out."""
    taken = f"took more than {limits.memory >> 20:,} MiB of memory"
    return exceeded(doing, taken, setting="FROMSCRATCH_STEP_MEMORY")


def exceeded(doing: str, taken: str, *, setting: str) -> StepError:
    """The error for a step that was ended at a limit, which ``setting`` can move."""
    msg = f"'{_short(doing)}' was ended: it {taken}."
    return StepError(msg, why=FAULT, next=f"mend it; {setting} allows more")


def _short(doing: str) -> str:
    return " ".join(doing.split()[:2])


def _children(pid: int) -> Iterator[int]:
    """The processes that any thread of a process has started: https://man7.org/linux/man-pages/man5/proc_tid_children.5.html."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii")
                yield from map(int, text.split())


def _memory(pid: int) -> int:
    # https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html: resident, and what of that is shared
    with contextlib.suppress(OSError, ValueError):
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
        return (int(resident) - int(shared)) * PAGE
    return 0
