"""The campaign's own judges see what they must see."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.campaigns.campaign import Violation
from tests.campaigns.kills import (
    Killed,
    again,
    halves,
    judge_killed,
    judge_made,
    judge_running,
    made,
    prepare,
)
from tests.campaigns.yard import End, Ended, judge_results


@pytest.mark.parametrize("command", ["build", "publish"])
def test_an_undisturbed_run_passes_and_what_is_wrong_in_it_is_seen(
    tmp_path: Path, command: str
) -> None:
    yard = prepare(tmp_path)
    again(command, tmp_path)
    again(command, tmp_path)
    expected = made(tmp_path)
    assert halves(tmp_path) == []
    judge_made(tmp_path, expected, whole=True)
    if command == "build":
        judge_results(yard, Ended(End.DONE, ""))
        return
    path = tmp_path / "bench" / "release" / "SHA256SUMS"
    data = path.read_bytes()
    path.unlink()
    judge_made(tmp_path, expected)
    with pytest.raises(Violation, match="left out"):
        judge_made(tmp_path, expected, whole=True)
    path.write_bytes(data[:9])
    with pytest.raises(Violation, match="half a file"):
        judge_made(tmp_path, expected)
    path.write_bytes(data)
    path.with_name("more").write_bytes(b"")
    with pytest.raises(Violation, match="wrong one"):
        judge_made(tmp_path, expected)


def test_a_run_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(Violation, match="fails with code"):
        again("build", tmp_path)


@pytest.mark.parametrize("name", ["cache/tmp/x", "cache/boxes/x", "bench/release/.x"])
def test_what_was_not_swept_is_seen(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert halves(tmp_path) == [name]


def test_a_process_that_stays_is_seen(tmp_path: Path) -> None:
    judge_running(tmp_path)
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as process:
        try:
            with pytest.raises(Violation, match=f"left running: .{process.pid}."):
                judge_running(tmp_path, seconds=0)
        finally:
            process.kill()
    judge_running(tmp_path)


@pytest.mark.parametrize(
    ("code", "output", "good"),
    [
        (130, "Interrupted", True),
        (0, "", True),
        (-signal.SIGTERM, "", True),
        (1, "", False),
        (130, "Traceback (most recent call last):", False),
    ],
)
def test_an_end_that_was_not_promised_is_seen(code: int, output: str, good: bool) -> None:
    killed = Killed(number=signal.SIGTERM, ready=True, code=code, output=output)
    if good:
        judge_killed(killed)
    else:
        with pytest.raises(Violation, match=f"code {code}"):
            judge_killed(killed)
