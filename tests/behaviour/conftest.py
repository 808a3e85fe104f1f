"""Black-box tests of the probe: argv, environment, output; each runs once for every runner."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Protocol

import pytest

from bench.builds import cpu_of_children
from tests.interpreters import FROZEN, ROOT, Interpreter, command_of, interpreters


class Probe(Protocol):
    """Run the probe with these words; the output must keep the probe's promises."""

    def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 20,
        cpu: float = 20,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(params=interpreters())
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    return Interpreter(request.param)


@pytest.fixture
def command(interpreter: Interpreter, request: pytest.FixtureRequest) -> list[str]:
    needed = interpreter in FROZEN
    return command_of(interpreter, request.getfixturevalue("frozen") if needed else None)


@pytest.fixture(scope="session")
def commands(request: pytest.FixtureRequest) -> dict[Interpreter, list[str]]:
    """The words of every way to run the probe: all must behave as the package on CPython, which is the first."""
    others = [one for one in interpreters() if one is not Interpreter.CPYTHON]
    frozen = request.getfixturevalue("frozen") if set(others) & set(FROZEN) else None
    return {one: command_of(one, frozen) for one in (Interpreter.CPYTHON, *others)}


@pytest.fixture
def probe(command: list[str]) -> Probe:
    def run(
        *argv: str, env: Mapping[str, str] | None = None, timeout: float = 20, cpu: float = 20
    ) -> subprocess.CompletedProcess[str]:
        before = cpu_of_children()
        done = subprocess.run(
            [*command, *argv],
            cwd=ROOT,
            env=dict(env or {}),
            timeout=timeout,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert cpu_of_children() - before < cpu
        assert done.returncode in {0, 1}
        assert done.stderr == b""
        assert len(done.stdout) <= 4096
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run
