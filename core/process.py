"""Runs a program of this machine to its end; its failure and its absence become errors that name it."""

import subprocess
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

from core.errors import MissingToolError, ProgramError
from core.visible import visible_line

LINES, LINE = 3, 240
"""How much of a program's complaint an error quotes."""

Completed = subprocess.CompletedProcess[str]


def run_program(
    words: Sequence[str], *, seconds: float, package: str, purpose: str, check: bool = True
) -> Completed:
    """Run a program without input, and return its exit code and all that it printed.

    Raises MissingToolError when it is not there (``package`` brings it, and it is needed to ``purpose``), and
    ProgramError when it takes longer than ``seconds`` or, with ``check``, ends with another code than 0. An interrupt
    kills it.
    """
    name = _name(words)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingToolError(program=name, package=package, purpose=purpose) from error
    except OSError as error:
        msg = f"{name} cannot be started: {error.strerror}"
        raise ProgramError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"{name} took more than {seconds:.0f} s"
        raise ProgramError(msg) from error
    if check and done.returncode:
        raise failed(done)
    return done


def failed(done: Completed, *, since: str = "", lines: int = LINES) -> ProgramError:
    """Return the error of a program that failed, with the end of its stderr, from the first line that begins so."""
    complaint = done.stderr.strip().splitlines()
    marked = list(dropwhile(lambda line: not line.startswith(since), complaint))
    quoted = "\n".join(
        visible_line(line.expandtabs())[:LINE] for line in (marked or complaint)[-lines:]
    )
    msg = f"{_name(done.args)} ended with exit code {done.returncode}"
    msg += f": {quoted}" if quoted else ""
    return ProgramError(msg)


def _name(words: Sequence[str]) -> str:
    """The program as people call it, a module that Python runs by the module's name."""
    return words[2] if words[1:2] == ["-m"] else Path(words[0]).name
