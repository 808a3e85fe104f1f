"""One program of this machine: it ends, or it is ended with all its family."""

import os
import threading
import time
from pathlib import Path

import pytest

from builders.engines.engine import Command, Stop, Stopped
from builders.engines.process import run_process
from recipes.errors import StepError

FAMILY = """
sh -c 'sleep 60 & echo $! >> pids; wait' &
echo $! >> pids
sleep 60 &
echo $! >> pids
echo ready
wait
"""


def command(folder: Path, script: str, *, seconds: float = 20) -> Command:
    argv = ("sh", "-c", script)
    return Command(
        argv=argv, env={"PATH": os.defpath}, log=folder / "logs" / "log", seconds=seconds
    )


def run(folder: Path, script: str, *, seconds: float = 20, stop: Stop | None = None) -> int:
    one = command(folder, script, seconds=seconds)
    stop = Stop() if stop is None else stop
    return run_process(one.argv, one, env=one.env, cwd=folder, stop=stop)


def log(folder: Path) -> str:
    return (folder / "logs" / "log").read_text("utf-8")


def alive(folder: Path) -> list[str]:
    """Of the processes that wrote themselves down, those that still run."""
    left = []
    for pid in (folder / "pids").read_text("utf-8").split():
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in {"Z", "X"}:
            left.append(pid)
    return left


def wait_until_nobody_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive(folder) == []


@pytest.mark.parametrize("code", [0, 1, 77])
def test_the_exit_code_is_the_program_s(tmp_path: Path, code: int) -> None:
    assert run(tmp_path, f"exit {code}") == code


def test_both_streams_go_to_the_log_after_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log").write_text("before\n", "utf-8")
    run(tmp_path, "echo out; echo err >&2")
    assert log(tmp_path) == "before\nout\nerr\n"


def test_nothing_of_our_environment_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    run(tmp_path, "env; cat")  # and cat ends: there is no terminal to read from
    assert "SECRET_TOKEN" not in log(tmp_path)


def test_a_deadline_ends_the_whole_family(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"'sh -c' did not end within 1 s") as caught:
        run(tmp_path, FAMILY, seconds=0.7)
    assert str(tmp_path / "logs" / "log") in caught.value.next
    assert log(tmp_path) == "ready\n"
    wait_until_nobody_is_left(tmp_path)


def test_stop_ends_the_whole_family(tmp_path: Path) -> None:
    stop = Stop()
    threading.Timer(0.3, stop.event.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        run(tmp_path, FAMILY, stop=stop)
    assert time.monotonic() - began < 5
    wait_until_nobody_is_left(tmp_path)


def test_who_is_left_behind_by_a_program_that_ended_is_ended_too(tmp_path: Path) -> None:
    assert run(tmp_path, "sleep 60 & echo $! > pids") == 0
    wait_until_nobody_is_left(tmp_path)


def test_a_program_that_ignores_signals_is_ended_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(StepError):
        run(tmp_path, "trap '' TERM INT HUP; echo $$ > pids; sleep 60; sleep 60", seconds=0.4)
    wait_until_nobody_is_left(tmp_path)
