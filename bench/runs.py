"""CPU and memory of one health check by curl, beside other programs that do the same.

CPU is user + system time of the whole run as the kernel accounts it (wait4), medians of interleaved runs.
"""

import argparse
import math
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.bars import BARS, CURLS, Bar, Measure
from bench.memory import peak
from bench.report import Figure
from bench.server import serving
from bench.sizes import built


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command line to run again and again."""

    name: str
    words: tuple[str, ...]
    code: int = 0
    must: float | None = None
    aim: float | None = None
    reference: str = ""
    memory: str = ""
    """Reference for its memory."""


MEMORY_BEFORE = {
    ("curl:mini", False): "388, 68 of it dirty",
    ("curl:mini", True): "NRV 388, 384 of it dirty",
    ("curl:https", False): "672, 92 of it dirty",
    ("curl:https", True): "LZMA 752, 748 of it dirty",
}
CPU_BEFORE = {
    ("curl:mini", False): "0.65",
    ("curl:mini", True): "NRV 3.7; LZMA 11.3",
    ("curl:https", False): "0.93",
    ("curl:https", True): "LZMA 22",
}


def cases(urls: dict[str, str], *, build: bool = True) -> Iterator[Case]:
    """What to run: each file as policy built it, and the machine's own curl beside it."""
    files = built(build=build)
    for product, packed in [(product, packed) for product in CURLS for packed in (False, True)]:
        if file := files.get((product, packed)):
            form = "packed" if packed else "plain"
            bar = BARS.get((product, Measure.HTTP), Bar(1.2, 0.7))
            must, aim = (5.0, None) if packed else (bar.must, bar.aim)
            yield Case(
                name=f"{product} {form}: GET",
                words=(str(file), "-sf", urls["http"]),
                must=must,
                aim=aim,
                reference=CPU_BEFORE.get((product, packed), ""),
                memory=MEMORY_BEFORE.get((product, packed), ""),
            )
    tls = [
        (f"curl:https {form}", str(files["curl:https", packed]))
        for form, packed in (("plain", False), ("packed", True))
        if ("curl:https", packed) in files
    ]
    own = shutil.which("curl")
    if own:
        yield Case(
            name="the machine's curl: GET",
            words=(own, "-sf", urls["http"]),
            reference="8.6",
            memory="10,548",
        )
        tls.append(("the machine's curl", own))
    for name, program in tls:
        yield Case(
            name=f"{name}: HTTPS GET, --cacert",
            words=(program, "-sf", "--cacert", urls["ca"], urls["https"]),
            reference="mbedTLS 2.8" if "plain" in name else "",
        )
        yield Case(
            name=f"{name}: HTTPS, own CA bundle, refused",
            words=(program, "-sf", urls["https"]),
            code=60,
        )


def runs(options: argparse.Namespace) -> Iterator[Figure]:
    """CPU and memory of one check by curl."""
    with serving() as urls:
        every = list(cases(urls, build=not options.quick))
        medians = interleaved(every, options.rounds)
        for case in every:
            yield Figure(
                f"{case.name}: CPU",
                "ms",
                medians[case.name],
                must=case.must,
                aim=case.aim,
                reference=case.reference,
            )
        own = medians.get("the machine's curl: GET")
        for product in CURLS:
            for form in ("plain", "packed"):
                mine = medians.get(f"{product} {form}: GET")
                yield Figure(
                    f"{product} {form}: GET, CPU as part of the machine's curl",
                    "ratio",
                    mine / own if mine and own else None,
                    why="this machine has no curl" if not own else "it is not built",
                )
        yield Figure("microcheck: CPU", "ms", None, why="not built here", reference="0.48")
        for case in every:
            if case.code:
                continue
            top = peak(case.words)
            why = "this process may not trace another"
            name, kept = f"{case.name}: peak resident", f"{case.name}: of it not shared"
            yield Figure(name, "kB", top and top[0], why=why, reference=case.memory)
            yield Figure(kept, "kB", top and top[1], why=why)


def interleaved(
    cases: Sequence[Case], rounds: int, *, seconds: float = math.inf
) -> dict[str, float]:
    """Run all cases in turn, so that a busy machine is unfair to none; return medians of CPU time in ms.

    After so many seconds no other round begins; there is one at least.
    """
    spent: dict[str, list[float]] = {case.name: [] for case in cases}
    for case in cases:
        spend(case)  # the first run reads the disk
    began = time.monotonic()
    for number in range(rounds):
        if number and time.monotonic() - began > seconds:
            break
        for case in cases:
            spent[case.name].append(spend(case))
    return {name: statistics.median(times) for name, times in spent.items()}


def spend(case: Case) -> float:
    """Run once; return its CPU time in ms. Raises when it does not end as it should."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123
        # What is to fail says so each time; what fails otherwise is to be read.
        silent = (1, 2) if case.code else (1,)
        pid = os.posix_spawn(
            case.words[0],
            case.words,
            {"PATH": os.defpath},
            file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), number) for number in silent],
        )
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != case.code:
        msg = f"{' '.join(case.words)} ended with {os.waitstatus_to_exitcode(status)}, not {case.code}"
        raise RuntimeError(msg)
    return (usage.ru_utime + usage.ru_stime) * 1000
