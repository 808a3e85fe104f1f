"""A campaign's cases can be repeated, its violations are told, and only whole runs are recorded."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flow.context import ROOT
from tests.campaigns.__main__ import main
from tests.campaigns.campaign import Campaign, Case, NotRun, Run, Violation


def campaign(run: Run, *, cases: int = 6, lacking: str = "") -> dict[str, Campaign]:
    @contextmanager
    def ready() -> Iterator[Run]:
        if lacking:
            raise NotRun(lacking)
        yield run

    made = Campaign(name="toy", purpose="Tries a toy.", cases=cases, open=ready, rooms=("core",))
    return {made.name: made}


def dice(case: Case) -> str:
    return f"rolled {case.random.randrange(10**9)} at {case.number}"


def counted(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return sorted(capsys.readouterr().out.partition("; ")[2].strip().split(", "))


def test_a_case_depends_on_seed_and_number_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "5"], campaign(dice)) == 0
    whole = counted(capsys)
    assert len(whole) == 6
    assert main(["--seed", "5", "--jobs", "2"], campaign(dice)) == 0
    assert counted(capsys) == whole
    for number in range(6):
        assert main(["toy", "--seed", "5", "--case", str(number)], campaign(dice)) == 0
        (one,) = counted(capsys)
        assert one in whole
    assert main(["--seed", "6"], campaign(dice)) == 0
    assert not set(counted(capsys)) & set(whole)


def odd_is_wrong(case: Case) -> str:
    if case.number == 3:
        msg = "three is odd"
        raise Violation(msg)
    if case.number == 5:
        raise KeyError(case.number)
    return "even"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_violation_is_told_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    assert main(["--seed", "9", "--jobs", jobs], campaign(odd_is_wrong)) == 1
    said = capsys.readouterr().out
    assert "VIOLATION: three is odd\n  again: ./inv test --campaign toy --seed 9 --case 3" in said
    assert "KeyError: 5\n  again: ./inv test --campaign toy --seed 9 --case 5" in said
    assert "6 cases" in said
    assert "2 violations; 4 even, 2 VIOLATION" in said
    assert main(["toy", "--seed", "9", "--case", "3"], campaign(odd_is_wrong)) == 1
    assert main(["toy", "--seed", "9", "--case", "2"], campaign(odd_is_wrong)) == 0


def interrupted_at_two(case: Case) -> str:
    if case.number == 2:
        raise KeyboardInterrupt
    return "right"


def test_an_interrupted_run_says_what_it_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--record"], campaign(interrupted_at_two), tmp_path) == 130
    assert "interrupted after 2 of 6 cases" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_cannot_run_here_has_not_passed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, jobs: str
) -> None:
    words = ["--record", "--jobs", jobs]
    assert main(words, campaign(dice, lacking="no root"), tmp_path) == 0
    said = capsys.readouterr().out
    assert "toy: not run: no root\n" in said
    assert said.endswith("NOT RUN here, so nothing is known of it:\n  toy: all of it: no root\n")
    assert not list(tmp_path.iterdir())


def lame_at_two(case: Case) -> str:
    if case.number % 3 == 2:
        msg = "no engine"
        raise NotRun(msg)
    return "right"


def test_cases_that_cannot_run_here_close_the_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--record"], campaign(lame_at_two), tmp_path) == 0
    said = capsys.readouterr().out
    assert said.endswith("NOT RUN here, so nothing is known of it:\n  toy: 2 cases: no engine\n")
    assert not list(tmp_path.iterdir())
    assert main([], campaign(dice)) == 0
    assert "NOT RUN" not in capsys.readouterr().out


def many_small_ones(case: Case) -> dict[str, int]:
    return {"passed": 10 * case.number, "not run: no server": case.number == 5}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_case_that_is_made_of_smaller_ones_is_counted_by_them(
    capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    assert main(["--jobs", jobs], campaign(many_small_ones)) == 0
    said = capsys.readouterr().out
    assert "toy: 6 cases in" in said
    assert "0 violations; 150 passed, 1 not run: no server" in said
    assert said.endswith("  toy: 1 cases: no server\n")


INTERRUPTED = """
import os, sys, threading
from contextlib import contextmanager
from pathlib import Path
from tests.campaigns.__main__ import main
from tests.campaigns.campaign import Campaign

def run(case):
    if case.number >= 4:
        (Path(sys.argv[1]) / str(os.getpid())).touch()
        threading.Event().wait(600)
    return "right"

@contextmanager
def opened():
    yield run

toy = Campaign(name="toy", purpose="Sleeps.", cases=20, open=opened, rooms=("core",))
sys.exit(main(["--jobs", "2"], {"toy": toy}))
"""


@pytest.mark.parametrize("whole_group", [False, True])
def test_ctrl_c_ends_both_jobs_and_shows_the_counts(tmp_path: Path, whole_group: bool) -> None:
    """To the process alone, as `./inv` sends it, and to its whole group, as a terminal does."""
    words = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        while len(jobs := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        send = os.killpg if whole_group else os.kill
        send(process.pid, signal.SIGINT)
        said, _ = process.communicate()
    assert process.returncode == 130
    assert said.decode().startswith("toy: interrupted after ")
    assert " of 20 cases in " in said.decode()
    assert "Traceback" not in said.decode()
    assert not [job for job in jobs if Path(f"/proc/{job}").exists()]


def test_a_run_that_time_ended_is_not_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--record", "--minutes", "1e-15"]
    assert main(words, campaign(dice), tmp_path) == 0
    assert "stopped after 0 of 6 cases" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("minutes", ["0", "1e-4"])
def test_jobs_that_have_ended_are_not_interrupted(
    capfd: pytest.CaptureFixture[str], minutes: str
) -> None:
    for _ in range(20):
        assert main(["--jobs", "2", "--minutes", minutes], campaign(dice, cases=300)) == 0
    assert capfd.readouterr().err == ""


def test_a_whole_run_is_recorded_when_asked(tmp_path: Path) -> None:
    assert main(["--seed", "4"], campaign(odd_is_wrong), tmp_path) == 1
    assert not list(tmp_path.iterdir())
    assert main(["--seed", "4", "--record"], campaign(odd_is_wrong), tmp_path) == 1
    record = json.loads((tmp_path / "toy.json").read_text())
    assert (record["cases"], record["violations"], record["seed"]) == (6, 2, 4)
    assert record["outcomes"] == {"VIOLATION": 2, "even": 4}
    assert len(record["code"]) == 64


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["toys"], campaign(dice))
    assert end.value.code == 2
    assert "there are: toy" in capsys.readouterr().err
