"""Black-box tests of the probe: argv, environment, output; each runs once for every runner."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]

# The name of a way to run the probe -> its command. Frozen binaries are added here.
RUNNERS: dict[str, list[str]] = {"python": [sys.executable, "-S", "-m", "probe"]}
# Those of them that have no TLS, and must say so.
WITHOUT_TLS: set[str] = set()


class Probe(Protocol):
    """Run the probe with these words; the output must keep the probe's promises."""

    def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, timeout: float = 20
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def command(runner: str) -> list[str]:
    return RUNNERS[runner]


@pytest.fixture
def has_tls(runner: str) -> bool:
    return runner not in WITHOUT_TLS


@pytest.fixture
def probe(command: list[str]) -> Probe:
    def run(
        *argv: str, env: Mapping[str, str] | None = None, timeout: float = 20
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*command, *argv],
            cwd=ROOT,
            env=dict(env or {}),
            timeout=timeout,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode in {0, 1}
        assert done.stderr == b""
        assert len(done.stdout) <= 4096
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run
