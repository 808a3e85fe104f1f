"""Runs one program of this machine to its end, and ends all of it when it must not go on."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders.engines.engine import Command, Stop, Stopped, overdue


def run_process(
    argv: Sequence[str], command: Command, *, env: Mapping[str, str], cwd: Path | None, stop: Stop
) -> int:
    """Run ``argv`` with both streams going to the command's log; return the exit code.

    The program gets a session of its own, so that its whole family can be ended. Raises Stopped
    when ``stop`` is set, StepError at the deadline; in both cases nothing of it is left running.
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        deadline = time.monotonic() + command.seconds
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=0.1)
                if stop:
                    msg = f"Stopped: {' '.join(command.argv)}"
                    raise Stopped(msg)
                if time.monotonic() > deadline:
                    raise overdue(command)
        finally:
            end_family(process)


def end_family(process: "subprocess.Popen[bytes]") -> None:
    """Kill a session's every process and reap its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
