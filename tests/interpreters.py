"""What the probe's source runs on: one list, for every test that runs the probe."""

import functools
import os
import socket
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from tests.built import Built

ROOT = Path(__file__).parents[1]

GIVEN = "FROMSCRATCH_TEST_PROBE"
"""The variable that names a file to test in the place of all others: one with a sanitizer, for example."""


class Interpreter(StrEnum):
    """A way to run the probe."""

    CPYTHON = "cpython"
    """The package, by this Python."""
    MINI = "mini"
    FULL = "full"
    NUITKA = "nuitka"
    GIVEN = "given"
    """The file that the variable names."""

    @property
    def product(self) -> str:
        """What `./inv build` makes it by."""
        assert self in FROZEN
        return f"probe:{self}"

    @property
    def is_one_file(self) -> bool:
        """Whether it is a program by itself."""
        return self is not Interpreter.CPYTHON

    @property
    def has_tls(self) -> bool:
        """Whether it speaks TLS; otherwise it must say that it does not."""
        if self is Interpreter.GIVEN:
            return speaks_tls(given())
        return self is not Interpreter.MINI

    @property
    def has_authorities(self) -> bool:
        """Whether it believes somebody when no file says whom."""
        return self.has_tls and self is not Interpreter.CPYTHON


FROZEN = (Interpreter.MINI, Interpreter.FULL, Interpreter.NUITKA)
"""Those that are one file."""

PROBES = tuple(interpreter.product for interpreter in FROZEN)


def interpreters() -> tuple[Interpreter, ...]:
    """Those to test: all, or the file that was given."""
    return (Interpreter.GIVEN,) if os.environ.get(GIVEN) else (Interpreter.CPYTHON, *FROZEN)


def command_of(interpreter: Interpreter, frozen: Built | None) -> list[str]:
    """The words that run it, to be run in `ROOT`; ``frozen`` has the files, which the others need none of."""
    if interpreter is Interpreter.CPYTHON:
        return [sys.executable, "-S", "-m", "probe"]
    if interpreter is Interpreter.GIVEN:
        return [str(given())]
    assert frozen is not None
    return [str(frozen.file(interpreter.product))]


def given() -> Path:
    """The file that the variable names."""
    path = Path(os.environ[GIVEN]).absolute()
    assert os.access(path, os.X_OK), f"{GIVEN} names no program: {path}"
    return path


@functools.cache
def speaks_tls(program: Path) -> bool:
    """What a file says of itself when a server, which never answers, is to be asked over TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        words = [str(program), url, "--insecure", "--timeout=300ms"]
        done = subprocess.run(words, capture_output=True, check=False, env={})
    return b"has no TLS" not in done.stdout
