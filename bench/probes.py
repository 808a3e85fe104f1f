"""One health check by the probe, in each of its forms, beside other programs that do the same, all in one run.

The server is on the loopback interface. It is asked by HTTP; by HTTPS (TLS 1.3, ECDSA P-256), and believed by a file of
authorities, or by the anchors inside, which are exchanged in a copy of the file; and by HTTPS again, and refused, since
nobody whom the program trusts has signed for it.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.anchors import trusting
from bench.bars import BARS, CURLS, PROBES, SMALLER, Measure
from bench.counts import Count, exact_instructions, system_calls
from bench.curls import NOT_BUILT, curls
from bench.memory import peak
from bench.peers import Rival, others
from bench.report import Figure
from bench.runs import Case, interleaved
from bench.server import serving
from bench.sizes import authorities_in, built
from core.target import Target

ROUNDS = 100
QUICK_ROUNDS, QUICK_SECONDS = 20, 15.0
"""Whichever is over first."""


def probe_runs(options: argparse.Namespace) -> Iterator[Figure]:
    """Sizes, CPU time, memory and calls of one check by each program there is."""
    with (
        serving() as urls,
        tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory,
    ):
        quick = options.quick
        every = [
            *ours(urls, Path(directory), build=not quick),
            *others(urls, Path(directory), compile_=not quick),
        ]
        rivals = [rival for rival in every if not rival.why]
        for rival in every:
            if rival.why:
                yield figure(rival, Measure.HTTP, Count(None, rival.why))
            yield from sizes(rival)
        yield from smaller(rivals)
        yield from times(rivals, min(options.rounds, ROUNDS), quick=quick)
        for rival in rivals:
            yield from footprint(rival, quick=quick)


def ours(urls: dict[str, str], directory: Path, *, build: bool = True) -> Iterator[Rival]:
    """The probe in each of its forms, and the curls, as policy built them."""
    http, https = urls["http"], urls["https"]
    files = built((*PROBES, *CURLS), build=build)
    for product in PROBES:
        plain, tls = files.get((product, False)), product != "probe:mini"
        if plain is None:
            yield Rival(name=product, why=NOT_BUILT)
            continue
        words = (str(plain), "http")
        copy = directory / product.replace(":", "-")
        trusted = tls and trusting(plain, Path(urls["ca"]), copy)
        yield Rival(
            name=product,
            http=(*words, http),
            https=(*words, https, "--ca-file", urls["ca"]) if tls else (),
            inside=(str(copy), "http", https) if trusted else (),
            refused=(*words, https) if tls else (),
            says="certificate refused",
            plain=plain,
            packed=files.get((product, True)),
        )
        if packed := files.get((product, True)):
            yield Rival(name=f"{product}, packed", http=(str(packed), "http", http))
    python = (sys.executable, "-S", "-m", "probe", "http")
    yield Rival(
        name="python -m probe",
        http=(*python, http),
        https=(*python, https, "--ca-file", urls["ca"]),
    )
    yield from curls(urls, files, directory)


def sizes(rival: Rival) -> Iterator[Figure]:
    """Bytes of its files; the authorities inside are counted apart, as who trusts more has more of them."""
    if rival.plain:
        inside = authorities_in(rival.plain.read_bytes())
        yield figure(rival, Measure.PLAIN, Count(rival.plain.stat().st_size - inside))
        yield from [figure(rival, Measure.ANCHORS, Count(inside))] * bool(inside)
    if rival.packed:
        yield figure(rival, Measure.PACKED, Count(rival.packed.stat().st_size))


def smaller(rivals: Sequence[Rival]) -> Iterator[Figure]:
    """Whether the one file is smaller than the other."""
    files = {rival.name: rival.plain for rival in rivals}
    for mine, theirs in SMALLER:
        one, other = files.get(mine), files.get(theirs)
        both = one is not None and other is not None
        yield Figure(
            f"{mine} is smaller than {theirs}",
            "bytes",
            one.stat().st_size if both and one else None,
            must=other.stat().st_size - 1 if both and other else None,
            why=NOT_BUILT,
        )


def times(rivals: Sequence[Rival], rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Medians of CPU time, all programs in turn."""
    measured: list[tuple[Rival, Measure, Case]] = []
    for rival in rivals:
        checks = {
            Measure.HTTP: Case(name=f"{rival.name}, http", words=rival.http),
            Measure.HTTPS: Case(name=f"{rival.name}, https", words=rival.https),
            Measure.INSIDE: Case(name=f"{rival.name}, inside", words=rival.inside),
            Measure.REFUSED: Case(
                name=f"{rival.name}, refused", words=rival.refused, code=rival.code
            ),
        }
        measured += [(rival, measure, case) for measure, case in checks.items() if case.words]
        if rival.refused:
            refusal(rival)
    cases = [case for _, _, case in measured]
    rounds, seconds = (min(rounds, QUICK_ROUNDS), QUICK_SECONDS) if quick else (rounds, math.inf)
    medians = interleaved(cases, rounds, seconds=seconds)
    for rival, measure, case in measured:
        yield figure(rival, measure, Count(medians[case.name]))


def refusal(rival: Rival) -> None:
    """Raise RuntimeError when it refuses the server for something else than its certificate."""
    done = subprocess.run(rival.refused, capture_output=True, check=False, text=True)
    if rival.says not in done.stdout + done.stderr:
        msg = f"{rival.name} did not speak of the certificate: {done.stdout}{done.stderr}"
        raise RuntimeError(msg)


def footprint(rival: Rival, *, quick: bool = False) -> Iterator[Figure]:
    """Memory, system calls and instructions of one check; counting takes too long where it has to be ``quick``."""
    if rival.http:
        yield figure(rival, Measure.RESIDENT, resident(rival.http))
    if rival.https:
        yield figure(rival, Measure.TLS_RESIDENT, resident(rival.https))
    if quick:
        return
    if rival.http:
        yield figure(rival, Measure.CALLS, system_calls(rival.http))
        yield figure(rival, Measure.INSTRUCTIONS, exact_instructions(rival.http))
    if rival.inside:
        yield figure(rival, Measure.INSIDE_INSTRUCTIONS, exact_instructions(rival.inside))


def resident(words: Sequence[str]) -> Count:
    """The most memory that one run has at a time."""
    top = peak(words)
    return Count(top and top[0], "this process may not trace another")


def figure(rival: Rival, measure: Measure, count: Count) -> Figure:
    """A figure with its place in the table, and its bar where the platform is the one that bars are for."""
    bar = BARS.get((rival.name, measure)) if Target.native() is Target.AMD64 else None
    return Figure(
        f"{rival.name}: {measure}",
        measure.unit,
        count.value,
        must=bar.must if bar else None,
        aim=bar.aim if bar else None,
        why=count.why,
        row=rival.name,
        column=measure.head,
    )
