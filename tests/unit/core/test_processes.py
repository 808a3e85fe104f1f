"""Work in processes: in order, to the end, and nothing left behind. Each in a fresh Python, which has one thread."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow.context import ROOT

PRELUDE = """
import os, signal, sys, time
from core.cancel import CancelToken
from core.errors import UsageError
from core.processes import in_processes
pids = sys.argv[1]
def note():
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\\n")
def run(function, count=200, jobs=2, chunk=8):
    return in_processes(function, range(count), jobs=jobs, cancel=CancelToken(), chunk=chunk)
"""


def python(code: str, pids: Path, *, wait: bool = True) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + code, str(pids)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if wait:
        process.wait()
    return process


def output(code: str, pids: Path) -> str:
    with python(code, pids) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.returncode == 0, errors
        return process.stdout.read()


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def workers(pids: Path) -> set[int]:
    return {int(line) for line in pids.read_text("utf-8").splitlines()} if pids.exists() else set()


def gone(pids: set[int]) -> bool:
    for _ in range(300):
        if not any(map(lives, pids)):
            return True
        time.sleep(0.1)
    return False


def test_results_come_in_the_order_of_the_items_from_several_processes(tmp_path: Path) -> None:
    code = "print(run(lambda n: (note(), n * n)[1]) == [n * n for n in range(200)], os.getpid())"
    right, pid = output(code, tmp_path / "pids").split()
    assert right == "True"
    assert int(pid) not in workers(tmp_path / "pids")
    assert gone(workers(tmp_path / "pids"))


@pytest.mark.parametrize("words", ["jobs=1", "count=5", "count=0", "jobs=2, count=8"], ids=str)
def test_few_things_are_done_at_once_and_here(tmp_path: Path, words: str) -> None:
    code = f"run(lambda n: note(), {words}); print(os.getpid())"
    pid = int(output(code, tmp_path / "pids"))
    assert workers(tmp_path / "pids") <= {pid}


def test_where_other_threads_run_everything_is_done_here(tmp_path: Path) -> None:
    code = (
        "import threading; end = threading.Event(); threading.Thread(target=end.wait).start()\n"
        "print(len(run(lambda n: note())), os.getpid()); end.set()"
    )
    count, pid = output(code, tmp_path / "pids").split()
    assert count == "200"
    assert workers(tmp_path / "pids") == {int(pid)}


def test_many_more_things_than_a_pipe_holds(tmp_path: Path) -> None:
    assert (
        output("print(sum(run(lambda n: n, 50000, 2, 1)))", tmp_path / "pids")
        == f"{sum(range(50000))}\n"
    )


def test_large_results_come_whole(tmp_path: Path) -> None:
    code = "print({len(it) for it in run(lambda n: bytes(300_000), 64)})"
    assert output(code, tmp_path / "pids") == "{300000}\n"


def test_what_goes_wrong_in_a_process_is_raised_here(tmp_path: Path) -> None:
    code = """
def fail(n):
    note()
    if n == 77: raise UsageError("of 77", why="so it is", next="do this")
try: run(fail)
except UsageError as error: print(error.what, error.why, error.next)
"""
    assert output(code, tmp_path / "pids") == "of 77 so it is do this\n"
    assert gone(workers(tmp_path / "pids"))


def test_a_process_that_dies_is_no_result(tmp_path: Path) -> None:
    code = """
try: run(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == 50 else n)
except RuntimeError as error: print(error)
"""
    assert "ended early" in output(code, tmp_path / "pids")


@pytest.mark.parametrize("number", [2, 9, 15])
def test_no_process_outlives_the_one_that_made_it(tmp_path: Path, number: int) -> None:
    code = "signal.signal(2, signal.default_int_handler); run(lambda n: (note(), time.sleep(0.3)))"
    pids = tmp_path / "pids"
    with python(code, pids, wait=False) as process:
        for _ in range(300):
            if len(workers(pids)) == 2:
                break
            time.sleep(0.1)
        found = workers(pids)
        assert len(found) == 2
        os.kill(process.pid, number)
        process.communicate()
    assert gone(found)
