"""How much memory steps may take together: as much as the machine, or what this process is confined to, can spare."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builders.plan import Stage, Step

COMPILER = 220 << 20
"""Bytes that a step is taken to need for each compiler it runs at a time: the largest seen, curl's link."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a step takes of memory, as far as that is known without the machine that it runs on."""

    program: int
    """Bytes that its largest program takes."""
    parallel: bool
    """True when it runs as many compilers at a time as `JOBS` says."""

    @classmethod
    def of(cls, step: Step) -> "Load":
        if step.stage is not Stage.BUILD:
            return cls(program=COMPILER, parallel=False)
        return cls(program=max(step.variant.memory, COMPILER), parallel=True)

    def needed(self, cores: int | None = None) -> int:
        """Return the bytes that it is taken to need at its worst moment, here or where there are so many cores."""
        # One link or whole-program compilation, or as many compilers as `JOBS` tells the script.
        compilers = COMPILER * (cores or os.cpu_count() or 1) if self.parallel else 0
        return max(self.program, compilers)


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Admits steps. Looks at this machine: a remote Docker engine is taken to have as much."""

    budget: int | None
    """Bytes for all steps together; None when nobody knows."""

    def admits(self, step: Step, running: Collection[Step]) -> bool:
        """True when the step can run beside those that run; alone it always can."""
        if not running or self.budget is None:
            return True
        return needed(step) + sum(map(needed, running)) <= self.budget


def needed(step: Step) -> int:
    """Return the bytes that a step is taken to need here at its worst moment."""
    return Load.of(step).needed()


def available(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that can be had without swapping: the machine's, or the control group's if that is less.

    See MemAvailable in https://man7.org/linux/man-pages/man5/proc_meminfo.5.html.
    """
    machine = [line[1] for line in _lines(proc / "meminfo") if line[0] == "MemAvailable:"]
    return min([*(int(kib) * 1024 for kib in machine), *_confined(proc, groups)], default=None)


def _confined(proc: Path, groups: Path) -> Iterator[int]:
    """What is left below every limit of this process's control group and those around it."""
    for words in _lines(proc / "self" / "cgroup"):
        _, controllers, path = words[0].split(":", 2)
        if not controllers:  # control groups 2
            top, limit, used, idle = groups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            idle = "total_inactive_file"
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for directory in (top / inside, *(top / parent for parent in inside.parents)):
            limits, uses = _number(directory / limit), _number(directory / used)
            if limits is None or uses is None:
                continue  # no limit here, or a group that is not seen from within a container
            cache = [int(line[1]) for line in _lines(directory / "memory.stat") if line[0] == idle]
            yield max(0, limits - uses + sum(cache))


def _number(path: Path) -> int | None:
    lines = list(_lines(path))
    return int(lines[0][0]) if lines and lines[0][0].isdecimal() else None


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text("ascii", "replace")
    except OSError:
        return
    yield from filter(None, map(str.split, text.splitlines()))
