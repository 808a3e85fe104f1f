"""Running curl:full as a user does, with nothing of this machine's settings."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMED = "FROMSCRATCH_TEST_CURL_FULL"
"""Names a file to test in place of the one that `./inv build curl:full` makes."""

OK, REFUSED, TOO_LATE, HANDSHAKE, UNTRUSTED = 0, 7, 28, 35, 60


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a run ended."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode()


@dataclass(frozen=True, kw_only=True)
class Curl:
    """A file, and the options that every run of it gets."""

    program: Path
    options: tuple[str, ...] = ("-qsS", "-m", "30")

    def __call__(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        typed: bytes = b"",
    ) -> Done:
        """Run it to its end; ``typed`` is its standard input."""
        done = subprocess.run(
            [self.program, *self.options, *words],
            capture_output=True,
            check=False,
            cwd=directory,
            env=dict(env or {}),
            input=typed,
            timeout=120,
        )
        return Done(code=done.returncode, data=done.stdout, err=done.stderr.decode())

    def start(self, *words: str | Path) -> "subprocess.Popen[bytes]":
        """Run it beside the test."""
        words_: list[Any] = [self.program, *self.options, *words]
        return subprocess.Popen(
            words_, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
        )


def named() -> Path | None:
    """The file that is to be tested in place of one that is built."""
    return Path(name) if (name := os.environ.get(NAMED)) else None
