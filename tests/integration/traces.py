"""What a run must not leave behind: processes, containers, half files, locks."""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker

from builders.engines.docker import LABEL, connect


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Return what ``condition`` gives, once that is truthy."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return found


def processes_at(directory: Path) -> list[int]:
    """Every process that has to do with the directory: in its command line, its mounts or its working directory."""
    mine = str(directory)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            seen = [(entry / name).read_text(errors="replace") for name in ("cmdline", "mountinfo")]
            with contextlib.suppress(OSError):
                seen.append(str((entry / "cwd").readlink()))
            if any(mine in text for text in seen):
                found.append(int(entry.name))
    return found


def held_locks(cache: Path) -> list[str]:
    """The cache's locks that somebody still holds."""
    held = []
    for path in cache.glob("locks/*"):
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path.name)
    return held


def half_files(cache: Path, artifacts: Path) -> list[str]:
    """What is neither where it is to end up nor meant to stay."""
    paths = [*cache.glob("tmp/*"), *cache.glob("boxes/*-*"), *artifacts.rglob(".*")]
    return sorted(str(path) for path in paths)


@contextlib.contextmanager
def engine() -> "Iterator[docker.DockerClient]":
    """The Docker engine that the environment names."""
    with contextlib.closing(connect()) as client:
        yield client


def containers_of(pid: int) -> list[Any]:
    """The engine's containers that belong to the process, in whatever state."""
    with engine() as client:
        labels = {"label": f"{LABEL}={pid}"}
        found: list[Any] = client.containers.list(all=True, filters=labels, ignore_removed=True)
    return found


def volumes() -> set[str]:
    """All of the engine's volumes."""
    with engine() as client:
        return {volume.name for volume in client.volumes.list()}


def volumes_of(container: Any) -> set[str]:
    """The volumes that a container uses."""
    return {mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}


def stop_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """What a terminal does at Ctrl-C."""
    os.killpg(process.pid, number)


def stop_one(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """What `kill` does."""
    os.kill(process.pid, number)
