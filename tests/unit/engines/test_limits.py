"""A step that takes too much is ended with all its processes, and told which limit it was."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from builders.engines.engine import Command, Engine, EngineSetup
from builders.engines.host import HostEngine
from builders.engines.isolation import Backend
from builders.engines.limits import Family, Limits, disk_use
from builders.engines.sandbox import SandboxEngine
from core.errors import StepError

MANY = "i=0; while [ $i -lt 300 ]; do sleep 71.75 & i=$((i+1)); done; wait"
MUCH = "head -c 1500M /dev/zero | tail -n 1 | wc -c"
WRITTEN = "head -c 300M /dev/zero > big; sleep 71.75"
IN_PARTS = (
    "mkdir -p a/b; for i in 1 2 3 4 5 6; do head -c 50M /dev/zero > a/b/$i; done; sleep 71.75"
)
CLOSED = "mkdir shut; head -c 300M /dev/zero > shut/big; chmod 0 shut; sleep 71.75"
STREWN = "i=0; while [ $i -lt 3000 ]; do : > $i; i=$((i+1)); done; sleep 71.75"
HIDDEN = f"setsid sh -c '{MUCH}' & wait"

CASES = [
    (MANY, Limits(processes=100), "ran more than 100 processes.*\n.*\n.*STEP_PROCESSES"),
    (MUCH, Limits(memory=100 << 20), "took more than 100 MiB of memory.*\n.*\n.*STEP_MEMORY"),
    (HIDDEN, Limits(memory=100 << 20), "took more than 100 MiB of memory"),
    (WRITTEN, Limits(disk=100 << 20), "took more than 100 MiB of disk.*\n.*\n.*STEP_DISK"),
    (IN_PARTS, Limits(disk=100 << 20), "took more than 100 MiB of disk"),
    (CLOSED, Limits(disk=100 << 20), "took more than 100 MiB of disk"),
    (STREWN, Limits(files=1000), "made more than 1,000 files"),
]


def run(engine: Engine, log: Path, script: str, limits: Limits) -> int:
    with engine.sandbox() as sandbox:
        return sandbox.run(
            Command(
                argv=("sh", "-c", script),
                env={"PATH": "/usr/bin:/bin"},
                log=log,
                seconds=100,
                limits=limits,
            )
        )


@pytest.mark.sandbox
@pytest.mark.parametrize(("script", "limits", "said"), CASES)
def test_in_the_sandbox(
    tmp_path: Path, setup: EngineSetup, backend: Backend, script: str, limits: Limits, said: str
) -> None:
    with pytest.raises(StepError, match=said):
        run(SandboxEngine(setup, backend), tmp_path / "log", script, limits)
    _no_child_is_left()


@pytest.mark.parametrize(("script", "limits", "said"), CASES)
def test_on_the_host(
    tmp_path: Path, setup: EngineSetup, script: str, limits: Limits, said: str
) -> None:
    with pytest.raises(StepError, match=said):
        run(HostEngine(setup), tmp_path / "log", script, limits)
    _no_child_is_left()


def test_what_stays_below_its_limits_ends_well(tmp_path: Path, setup: EngineSetup) -> None:
    limits = Limits(memory=400 << 20, processes=60)
    script = (
        "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; head -c 50M /dev/zero | tail | wc -c; wait"
    )
    assert run(HostEngine(setup), tmp_path / "log", script, limits) == 0


def test_disk_is_counted_once_a_hole_not_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(1 << 20))
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below/file").write_bytes(bytes(1 << 18))
    (tree / "link").symlink_to(outside)
    (tree / "all").symlink_to(tmp_path)
    with (tree / "hole").open("wb") as hole:
        hole.truncate(1 << 40)
    os.sync()
    assert 1 << 18 <= sum(disk_use(tree)) < 1 << 19
    assert len(list(disk_use(tree))) == 5


def test_a_tree_that_is_gone_takes_no_disk(tmp_path: Path) -> None:
    assert list(disk_use(tmp_path / "none")) == []


def test_a_child_of_any_thread_is_seen_and_one_that_is_gone_is_not() -> None:
    children: list[subprocess.Popen[bytes]] = []
    over, started = threading.Event(), threading.Event()

    def start() -> None:
        children.append(subprocess.Popen(["sleep", "60"]))
        started.set()
        over.wait(60)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert started.wait(60)
        found = Family.of(os.getpid())
        assert {os.getpid(), children[0].pid} <= set(found.pids)
        assert found.memory > 1 << 20
    finally:
        for child in children:
            child.kill()
            child.wait()
        over.set()
        thread.join()
    assert children[0].pid not in Family.of(os.getpid()).pids
    assert Family.of(children[0].pid).memory == 0


def _no_child_is_left() -> None:
    """What was killed is gone soon, on a busy machine too."""
    deadline = time.monotonic() + 30
    while (left := len(_running("71.75", "1500M"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == 0


def _running(*words: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[0] in {b"sleep", b"head"} and {word.encode() for word in words} & set(argv):
            found.append(path.parent.name)
    return found
