"""One program of this machine: it ends, or it is ended with all its family."""

import os
import threading
import time
from pathlib import Path

import pytest

from builders.engines.directory import DirectorySandbox
from builders.engines.engine import Command, Usage
from builders.toolchain import Toolchain
from core.cancel import Cancelled, CancelToken
from core.errors import StepError

LIFE = 60
FAMILY = f"""
sh -c 'sleep {LIFE} & echo $! >> pids; wait' &
echo $! >> pids
sleep {LIFE} &
echo $! >> pids
echo ready
wait
"""


def command(directory: Path, script: str, *, seconds: float = 20) -> Command:
    argv = ("sh", "-c", script)
    return Command(
        argv=argv, env={"PATH": os.defpath}, log=directory / "logs" / "log", seconds=seconds
    )


class Direct(DirectorySandbox):
    """Runs a command as it is, in its directory."""

    def run(self, command: Command) -> int:
        return self.run_logged(command.argv, command, env=command.env, cwd=self.directory)


def direct(directory: Path, cancel: CancelToken | None = None) -> Direct:
    directory.mkdir(exist_ok=True)
    nothing = Toolchain(packages=directory, programs=directory, scripts=directory)
    return Direct(directory, nothing, CancelToken() if cancel is None else cancel)


def run(
    directory: Path, script: str, *, seconds: float = 20, cancel: CancelToken | None = None
) -> int:
    return direct(directory, cancel).run(command(directory, script, seconds=seconds))


def log(directory: Path) -> str:
    return (directory / "logs" / "log").read_text("utf-8")


def alive(directory: Path) -> list[str]:
    """Of the processes that wrote themselves down, those that still run."""
    left = []
    for pid in (directory / "pids").read_text("utf-8").split():
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in {"Z", "X"}:
            left.append(pid)
    return left


def wait_until_nobody_is_left(directory: Path) -> None:
    deadline = time.monotonic() + LIFE / 4
    while alive(directory) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive(directory) == []


@pytest.mark.parametrize("code", [0, 1, 77])
def test_the_exit_code_is_the_program_s(tmp_path: Path, code: int) -> None:
    assert run(tmp_path, f"exit {code}") == code


def test_what_it_took_is_reported_with_what_its_descendants_took(
    tmp_path: Path, block: int
) -> None:
    # dd holds its whole block in memory; the loop of the grandchild costs time that sh's own does not.
    script = f"""
    sh -c 'i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done'
    dd if=/dev/zero of=/dev/null bs={block} count=1
    """
    results: dict[str, Usage] = {}

    def measure(name: str, text: str) -> None:
        sandbox = direct(tmp_path / name)
        sandbox.run(command(tmp_path / name, text))
        results[name] = sandbox.usage

    # At the same time: what one takes is not put down to the other.
    threads = [
        threading.Thread(target=measure, args=words)
        for words in [("busy", script), ("idle", "sleep 0.3")]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    busy, idle = results["busy"], results["idle"]
    assert busy.cpu is not None
    assert idle.cpu is not None
    assert 0.05 < busy.cpu < 10
    assert idle.cpu < 0.05
    assert busy.rss is not None
    assert block < busy.rss < block + 100_000_000
    assert idle.rss is None  # no larger than this process, which it was a copy of


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


def test_cancelling_ends_the_whole_family(tmp_path: Path) -> None:
    cancel = CancelToken()
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(tmp_path, FAMILY, cancel=cancel)
    assert time.monotonic() - began < LIFE / 4
    wait_until_nobody_is_left(tmp_path)


def test_who_is_left_behind_by_a_program_that_ended_is_ended_too(tmp_path: Path) -> None:
    assert run(tmp_path, "sleep 60 & echo $! > pids") == 0
    wait_until_nobody_is_left(tmp_path)


def test_a_program_that_ignores_signals_is_ended_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(StepError):
        run(tmp_path, "trap '' TERM INT HUP; echo $$ > pids; sleep 60; sleep 60", seconds=0.4)
    wait_until_nobody_is_left(tmp_path)
