"""An engine with other surroundings: steps find another clock and other variables, and all else as it was."""

import os
import time
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.engine import Command, Engine, EngineSetup
from builders.engines.host import HostEngine
from builders.engines.isolation import Backend
from builders.engines.sandbox import SandboxEngine
from builders.engines.varied import DAY, Clock, VariedEngine
from core.errors import EngineError
from tests.fakes import below

DAYS = 400


@pytest.fixture
def clock() -> Clock:
    found = Clock.of_this_machine(DAYS)
    if found is None:
        pytest.skip("libfaketime is not installed (apt-get install -y libfaketime)")
    return found


def run(engine: Engine, directory: Path, script: str) -> tuple[int, str, dict[str, bytes]]:
    """Run in a sandbox with an empty directory ``out``; return the exit code, what was output, what was made."""
    (directory / "out").mkdir(parents=True)
    log = directory / "log"
    with engine.sandbox() as sandbox:
        sandbox.put(directory / "out", PurePosixPath("out"))
        env = {"PATH": "/usr/bin:/bin", "JOBS": "2", "BOX": str(sandbox.root)}
        command = Command(argv=("sh", "-c", script), env=env, log=log, seconds=20)
        code = sandbox.run(command)
        sandbox.get(PurePosixPath("out"), directory / "made")
        assert code or sandbox.usage.cpu is not None
    return code, log.read_text("utf-8"), below(directory / "made")


@pytest.mark.sandbox
def test_a_step_in_the_sandbox_finds_another_day(
    tmp_path: Path, setup: EngineSetup, backend: Backend, clock: Clock
) -> None:
    inner = SandboxEngine(setup, backend)
    engine = VariedEngine(engine=inner, clock=clock, now=time.time(), env={"JOBS": "7"})
    code, output, made = run(
        engine, tmp_path / "work", 'date +%s; echo "$JOBS"; echo x >"$BOX/out/x"; exit 3'
    )
    now, jobs = output.split()
    assert code == 3
    assert abs(int(now) - time.time() - DAYS * DAY) < 60
    assert jobs == "7"
    assert made == {"x": b"x\n"}
    assert (engine.name, engine.isolated) == ("sandbox", True)


def test_a_step_on_the_host_finds_another_day(
    tmp_path: Path, setup: EngineSetup, clock: Clock
) -> None:
    inner = HostEngine(setup)
    engine = VariedEngine(engine=inner, clock=clock, now=time.time())
    code, output, _ = run(engine, tmp_path / "work", 'date +%s; echo "$JOBS"')
    assert code == 0
    assert abs(int(output.split()[0]) - time.time() - DAYS * DAY) < 60
    assert output.split()[1] == "2"
    assert not engine.isolated


def test_a_clock_that_does_not_move_is_found_out(tmp_path: Path, setup: EngineSetup) -> None:
    (tmp_path / "libfaketime.so.1").write_text("no library", "utf-8")
    still = Clock(library=tmp_path / "libfaketime.so.1", days=DAYS)
    inner = HostEngine(setup)
    engine = VariedEngine(engine=inner, clock=still, now=time.time())
    with pytest.raises(EngineError, match="does not move the clock"):
        run(engine, tmp_path / "work", "true")


def test_without_a_clock_the_time_is_the_true_one(tmp_path: Path, setup: EngineSetup) -> None:
    inner = HostEngine(setup)
    engine = VariedEngine(engine=inner, clock=None, now=time.time())
    _, output, _ = run(engine, tmp_path / "work", "date +%s; env")
    assert abs(int(output.split()[0]) - time.time()) < 60
    assert "LD_PRELOAD" not in output
    assert "LD_PRELOAD" not in os.environ
