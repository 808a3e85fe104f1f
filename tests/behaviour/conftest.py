"""Black-box tests of the probe: argv, environment, output; each runs once for every runner."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests import sanitized
from tests.built import Built

ROOT = Path(__file__).parents[2]

SANITIZED = {f"sanitized-{name}": path for name, path in sanitized.programs().items()}
"""Programs that end with another exit code than 0 and 1, and a report, when C goes wrong."""

RUNNERS = ("python", "mini", "full", "nuitka", *SANITIZED)
"""The ways to run the probe: the package by this Python, the frozen files, and sanitized ones where they were made."""

WITHOUT_TLS = {"mini", "sanitized-mini", "sanitized-mini-malloc"}
"""Those of them that have no TLS, and must say so."""


class Probe(Protocol):
    """Run the probe with these words; the output must keep the probe's promises."""

    def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 20,
        cpu: float = 20,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def command(runner: str, request: pytest.FixtureRequest) -> list[str]:
    if runner == "python":
        return [sys.executable, "-S", "-m", "probe"]
    if runner in SANITIZED:
        return [str(SANITIZED[runner])]
    frozen: Built = request.getfixturevalue("frozen")
    return [str(frozen.file(f"probe:{runner}"))]


@pytest.fixture
def has_tls(runner: str) -> bool:
    return runner not in WITHOUT_TLS


def cpu_of_children() -> float:
    """Seconds: what a busy machine does not stretch, as it does the time until the end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
