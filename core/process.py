"""Runs a program of this machine to its end; its failure and its absence become errors that name it."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from pathlib import Path

from core.cancel import CancelToken
from core.errors import MissingToolError, ProgramError
from core.visible import visible_line

GLANCE = 0.2
"""Longest wait, in seconds, between two looks at the cancel token."""
LINES, LINE = 3, 240
"""How much of a program's complaint an error quotes."""

Completed = subprocess.CompletedProcess[str]


def run_program(
    words: Sequence[str],
    *,
    seconds: float,
    package: str,
    purpose: str,
    check: bool = True,
    cancel: CancelToken | None = None,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program without input, and return its exit code and all that it printed.

    ``environment`` is all that it gets; None: ours. Raises MissingToolError when it is not there (``package`` brings
    it, and it is needed to ``purpose``), and ProgramError when it takes longer than ``seconds`` or, with ``check``,
    ends with another code than 0; Cancelled once ``cancel`` is set. Then, and on an interrupt, it is killed.
    """
    name = _name(words)
    try:
        token = CancelToken() if cancel is None else cancel
        done = _watched(words, seconds, token, name, environment)
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


def _watched(
    words: Sequence[str],
    seconds: float,
    cancel: CancelToken,
    name: str,
    environment: Mapping[str, str] | None,
) -> Completed:
    """`subprocess.run`, in short waits: a thread that waits for a program hears of no signal."""
    end = time.monotonic() + seconds
    with subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            while True:
                cancel.check(name)
                left = end - time.monotonic()
                try:
                    output, complaint = process.communicate(timeout=max(0.0, min(GLANCE, left)))
                except subprocess.TimeoutExpired:
                    if left <= GLANCE:
                        raise
                else:
                    return Completed(words, process.returncode, output, complaint)
        except BaseException:
            process.kill()
            # Its children may hold the pipes open for as long as they like.
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            raise


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
