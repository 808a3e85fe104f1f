"""Nothing of a run of curl's suite is left, however it ends; a program that is missing is named with its package."""

import sys
import time
from pathlib import Path

import pytest

from tests.campaigns.campaign import NotRun
from tests.campaigns.suite.place import PACKAGES, find_tools, watch

FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for depth in range(3):  # each is the child of the one before, the last two in groups of their own
    if os.fork():
        break
    if depth:
        os.setpgid(0, 0)
print(os.getpid(), flush=True)
while os.path.exists(sys.argv[1]) or depth:
    time.sleep(0.01)
"""


def family(directory: Path, seconds: float) -> tuple[bool, list[int]]:
    """Run three generations; return whether the first ended in time, and the numbers of all."""
    output = directory / "output"
    with output.open("wb") as file:
        ended = watch(
            [sys.executable, "-c", FAMILY, str(directory / "go on")],
            directory,
            {},
            file.fileno(),
            seconds=seconds,
        )
    return ended, [int(word) for word in output.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def judge(pids: list[int]) -> None:
    end = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


def test_what_a_run_leaves_behind_is_ended(tmp_path: Path) -> None:
    ended, pids = family(tmp_path, 60)
    assert ended
    judge(pids)


@pytest.mark.parametrize("found", [[], ["perl", "gcc"]])
def test_what_is_missing_is_named_with_its_packages(tmp_path: Path, found: list[str]) -> None:
    for name in found:
        (tmp_path / name).symlink_to(sys.executable)
    with pytest.raises(NotRun) as raised:
        find_tools(str(tmp_path))
    missing, _, packages = str(raised.value).partition(" not found: apt-get install -y ")
    assert missing.split(", ") == [name for name in PACKAGES if name not in found]
    assert packages.split() == [PACKAGES[name] for name in PACKAGES if name not in found]


@pytest.mark.parametrize("lost", PACKAGES)
def test_each_program_is_needed(tmp_path: Path, lost: str) -> None:
    for name in PACKAGES:
        (tmp_path / name).symlink_to(sys.executable)
    find_tools(str(tmp_path))
    (tmp_path / lost).unlink()
    with pytest.raises(NotRun, match=f"^{lost} not found: apt-get install -y {PACKAGES[lost]}$"):
        find_tools(str(tmp_path))
