"""One request by each curl beside other programs that do the same, all in one run."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.bars import BARS, CURLS, Measure
from bench.counts import Count
from bench.curls import PEM, curls, with_tls
from bench.peers import Rival, others
from bench.probes import figure, footprint, sizes, times
from bench.record import AGAINST
from bench.report import Figure
from bench.server import serving
from bench.sizes import built

RATIOS = {Measure.OF_PEM: Measure.INSIDE, Measure.OF_PEM_REFUSED: Measure.REFUSED}
"""What is compared with the way that parses a bundle, and by which of the measured times."""


def curl_runs(options: argparse.Namespace) -> Iterator[Figure]:
    """Sizes, CPU time, memory, calls and instructions of one request by each program there is."""
    with (
        serving() as urls,
        tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as name,
    ):
        directory = Path(name)
        every = list(curls(urls, built(CURLS, build=not options.quick), directory))
        if options.against:
            file = Path(options.against).resolve()
            every.append(with_tls(f"{AGAINST}{file.name}", file, urls, directory))
        every += others(urls, directory, compile_=not options.quick)
        yield from compared(every, options.rounds, quick=options.quick)


def compared(every: Sequence[Rival], rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """The figures of each program, those that were measured in one run as parts of each other as well."""
    rivals = [rival for rival in every if not rival.why]
    for rival in every:
        if rival.why:
            yield figure(rival, Measure.HTTP, Count(None, rival.why))
        yield from sizes(rival)
    spent = list(times(rivals, rounds, quick=quick))
    yield from spent
    yield from ratios(rivals, spent)
    for rival in rivals:
        yield from footprint(rival, quick=quick)


def ratios(rivals: Sequence[Rival], spent: Sequence[Figure]) -> Iterator[Figure]:
    """What a request costs by the anchors inside, as part of what it costs to parse a bundle."""
    found = {(it.row, it.column): it.value for it in spent}
    for rival in rivals:
        for measure, of in RATIOS.items():
            if (rival.name, measure) not in BARS:
                continue
            mine, theirs = (found.get((name, of.head)) for name in (rival.name, PEM))
            part = mine / theirs if mine and theirs else None
            yield figure(rival, measure, Count(part, "the file has no anchors"))
