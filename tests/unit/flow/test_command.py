"""What every command begins and ends with, however it ends."""

import json
from pathlib import Path

import pytest

from builders.engines.limits import Limits
from commands import command as module
from commands.command import command
from core.errors import ExitCode, RecipeError, StepError
from tests.fakes import Lines


class Closing(Lines):
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Closing:
    report = Closing()
    monkeypatch.setattr(module, "make_report", lambda: report)
    monkeypatch.setenv("FROMSCRATCH_ARTIFACTS", str(tmp_path / "artifacts"))
    return report


def test_flags_that_are_given_win_over_the_environment(
    report: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROMSCRATCH_JOBS", "7")
    monkeypatch.setenv("FROMSCRATCH_OFFLINE", "1")
    with command(jobs="3", offline=False) as context:
        assert context.jobs == 3
        assert context.settings.flag("offline")  # a flag that is not given says nothing
        assert context.report is report
        assert report.closed == 0
    assert report.closed == 1


def test_what_a_step_may_take_is_a_setting(
    report: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with command() as context:
        assert context.builder().limits == Limits()
    for name, value in (("MEMORY", "100"), ("PROCESSES", "9"), ("MINUTES", "2")):
        monkeypatch.setenv(f"FROMSCRATCH_STEP_{name}", value)
    with command() as context:
        limits = context.builder().limits
        assert limits == Limits(memory=100 << 20, processes=9, seconds=120.0)
    monkeypatch.setenv("FROMSCRATCH_STEP_MEMORY", "lots")
    with pytest.raises(RecipeError, match="'step_memory' must be a whole number"), command() as it:
        it.builder()


@pytest.mark.parametrize("name", ["", "other.json"])
def test_a_command_that_fails_closes_its_display_and_writes_its_timings(
    report: Closing, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name if name else tmp_path / "artifacts" / "timings.json"
    failure = StepError("it failed")
    with pytest.raises(StepError) as caught, command(timings=str(path) if name else True):
        raise failure
    assert caught.value.code == ExitCode.STEP
    assert report.closed == 1
    assert "traceEvents" in json.loads(path.read_text("utf-8"))


def test_timings_are_written_only_when_asked_for(report: Closing, tmp_path: Path) -> None:
    with command():
        pass
    assert report.closed == 1
    assert list(tmp_path.iterdir()) == []
