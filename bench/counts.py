"""What one run of a program does, counted by others' tools: its system calls by strace, its instructions by perf."""

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CALL = re.compile(r"(?m)^(?:\d+ +)?\w+\(")
"""The beginning of a call in strace's log; one that another thread interrupts goes on in a line without it."""
ROUNDS = 5


class Count(NamedTuple):
    """How many, or why nobody knows."""

    value: float | None
    why: str = ""


def system_calls(words: Sequence[str], *, strace: str = "strace") -> Count:
    """Every system call of every thread, from the ``execve`` of the program on."""
    tool = shutil.which(strace)
    if tool is None:
        return Count(None, "not installed: apt-get install -y strace")
    log, code = _logged([tool, "-f", "-qq", "-e", "signal=none"], words)
    found = len(CALL.findall(log))
    return Count(found) if found and not code else Count(None, "strace may not trace here")


def instructions(words: Sequence[str], *, perf: str = "perf") -> Count:
    """Instructions in user mode, the median of some runs."""
    tool = shutil.which(perf)
    if tool is None:
        return Count(None, "not installed: apt-get install -y linux-perf")
    runs: list[float] = []
    for _ in range(ROUNDS):
        log, _code = _logged([tool, "stat", "-x,", "-e", "instructions:u"], words)
        # `1234,,instructions:u,…`, or why not in the place of the number.
        said = next((line for line in log.splitlines() if ",instructions:u," in line), "")
        value = said.partition(",")[0]
        if not value.isdecimal():
            return Count(None, f"perf says: {value.strip('<>') or 'nothing'}")
        runs.append(float(value))
    return Count(statistics.median(runs))


def _logged(tool: Sequence[str], words: Sequence[str]) -> tuple[str, int]:
    """What the tool writes into the file that ``-o`` names, and what the run ends with."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        log = Path(directory) / "log"
        done = subprocess.run(
            [*tool, "-o", str(log), "--", *words],
            env={"PATH": os.defpath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        text = log.read_text("utf-8", "replace") if log.exists() else ""
    return text, done.returncode
