"""A campaign's cases can be repeated, its violations are told, and only whole runs are recorded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
    assert "toy: not run: no root" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_run_that_time_ended_is_not_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--record", "--minutes", "1e-15"]
    assert main(words, campaign(dice), tmp_path) == 0
    assert "stopped after 0 of 6 cases" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


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
