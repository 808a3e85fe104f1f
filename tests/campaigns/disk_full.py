"""Builds on a disk that is full at any size: an error that names it, nothing half, and with more room all is right.

The disk is a tmpfs in a mount namespace of the case's own, which takes root.
"""

import ctypes
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.campaigns.campaign import Campaign, Case, NotRun, Run, Violation
from tests.campaigns.yard import (
    End,
    Ended,
    Yard,
    in_child,
    judge_names,
    judge_results,
    own_umask,
)

CLONE_NEWNS = 0x00020000
PAGE = 4096
"""Bytes: what a tmpfs is counted in."""
GROWN = 64 << 20
PLACES: tuple[Literal["cache", "artifacts"], ...] = ("cache", "artifacts")
LARGEST = {"cache": 70, "artifacts": 5}
"""Pages that are about what a whole build takes there."""


def run_case(case: Case) -> str:
    if os.geteuid() != 0:
        msg = "only root can mount a small file system"
        raise NotRun(msg)
    place = PLACES[case.number % 2]
    pages = pages_of(case, LARGEST[place])
    # A mount that is made in a child's own namespace goes with it, whatever becomes of the case.
    ended = in_child(
        lambda: told(case.directory, place, pages, case.random), what="the case", seconds=90
    )
    outcome, _, text = ended.text.partition(":")
    match outcome:
        case "violation":
            msg = f"{place} of {pages} pages: {text}"
            raise Violation(msg)
        case "not run":
            raise NotRun(text)
        case _:
            return ended.text


def pages_of(case: Case, largest: int) -> int:
    """A size out of the twentieth of all sizes that is this case's."""
    part = case.number // 2 % 20
    return 2 + round(largest * (part + case.random.random()) / 20)


def told(
    directory: Path, place: Literal["cache", "artifacts"], pages: int, chance: random.Random
) -> str:
    """Run the case in a namespace of its own; return the outcome, or what was violated, in words."""
    disk = directory / "disk"
    disk.mkdir()
    # A disk is full, too, when it can hold no more files.
    limit = f"nr_inodes={pages}" if chance.random() < 0.3 else f"size={pages * PAGE}"
    try:
        own_mounts()
        mount("--make-rprivate", "/")
        mount("-t", "tmpfs", "-o", f"{limit},mode=755", "small", disk)
    except (OSError, NotRun) as why:
        return f"not run:{why}"
    try:
        with own_umask():
            if place == "cache":
                yard = Yard.make(directory, cache=disk / "it")
            else:
                yard = Yard.make(directory, artifacts=disk / "it")
            return judged(yard, disk, warm=chance.random() < 0.3)
    except Violation as violation:
        return f"violation:{violation}"


def judged(yard: Yard, disk: Path, *, warm: bool) -> str:
    """Build on the small disk, then on a larger one. Raises Violation."""
    full = yard.build()
    judge_full(yard, disk, full)
    if warm:  # what the first one left takes room, too
        again = yard.build()
        judge_full(yard, disk, again)
    mount("-o", f"remount,size={GROWN},nr_inodes=0", disk)
    grown = yard.build()
    judge_results(yard, grown)
    judge_names(yard.cache)
    if grown.end is not End.DONE:
        msg = f"there is room again, and yet: {grown.text}"
        raise Violation(msg)
    return "fits" if full.end is End.DONE else "named the full disk, right bytes with more room"


def judge_full(yard: Yard, disk: Path, ended: Ended) -> None:
    """Raise Violation unless what is there is whole, and an error names the disk and what helps."""
    judge_results(yard, ended)
    judge_names(yard.cache)
    if ended.end is End.DONE:
        return
    if ended.kind != "StorageError" or "full" not in ended.text or str(disk) not in ended.text:
        msg = f"the error does not say which place is full: {ended.kind}: {ended.text}"
        raise Violation(msg)
    setting = "FROMSCRATCH_CACHE" if yard.cache.is_relative_to(disk) else "FROMSCRATCH_ARTIFACTS"
    if setting not in ended.next:
        msg = f"the error does not say what makes room there: {ended.text}"
        raise Violation(msg)
    for halves in (yard.cache / "tmp", yard.artifacts / ".part"):
        if halves.is_dir() and (left := sorted(path.name for path in halves.iterdir())):
            msg = f"left behind in {halves.name}/: {left}"
            raise Violation(msg)


def own_mounts() -> None:
    """Give this process a mount namespace of its own. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(*words: str | Path) -> None:
    """Raises NotRun when it is refused."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"no small file system can be mounted here: {done.stderr.strip()}"
        raise NotRun(msg)


@contextmanager
def opened() -> Iterator[Run]:
    yield run_case


CAMPAIGN = Campaign(
    name="disk-full",
    purpose="Builds on a full disk: an error that names the place, nothing half, right bytes once there is room.",
    cases=40,
    open=opened,
    rooms=("builders", "core", "flow", "publish"),
)
