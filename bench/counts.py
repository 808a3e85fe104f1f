"""What one run of a program does, counted by others' tools: its system calls by strace, its instructions by callgrind
or perf."""

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
COLLECTED = re.compile(r"(?m)^==\d+== Collected : (\d+)")


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


def exact_instructions(
    words: Sequence[str], *, code: int = 0, valgrind: str = "valgrind", perf: str = "perf"
) -> Count:
    """Instructions in user mode of a run that ends with ``code``: by callgrind, which no load disturbs, or by perf."""
    tool = shutil.which(valgrind)
    if tool is None:
        return _or_by_perf(words, perf, "not installed: apt-get install -y valgrind")
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        out = Path(directory) / "callgrind.out"
        log = Path(directory) / "log"
        flags = ["--tool=callgrind", f"--callgrind-out-file={out}", f"--log-file={log}"]
        done = subprocess.run(
            [tool, *flags, *words],
            env={"PATH": os.defpath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        text = log.read_text("utf-8", "replace") if log.exists() else ""
    found = COLLECTED.search(text)
    if found is None or done.returncode != code:
        # It runs fifty times as long: some give up before.
        return _or_by_perf(words, perf, f"under callgrind it ended with {done.returncode}")
    return Count(float(found[1]))


def _or_by_perf(words: Sequence[str], perf: str, why: str) -> Count:
    counted = instructions(words, perf=perf)
    return counted if counted.value is not None else Count(None, f"{why}; {counted.why}")


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
