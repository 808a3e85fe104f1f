"""Much data over TLS by the curls that are made for it: what their cryptography costs, all in one run."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.bars import LARGE, Measure
from bench.counts import Count
from bench.curls import NOT_BUILT
from bench.peers import Rival
from bench.probes import figure
from bench.report import Figure
from bench.runs import Case, interleaved
from bench.server import CIPHER, serving
from bench.sizes import authorities_in, built, offered

ROUNDS = 5
"""A run takes seconds, and varies by few percent."""

BASE = "curl:h2"
"""What the others are compared with: its cryptography is portable C."""


def bulk_runs(options: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of each such curl, and its CPU time for 300 MB over TLS 1.3 with AES-256-GCM."""
    files = built(offered(LARGE), build=not options.quick)
    with serving() as urls:
        yield from compared(files, urls, min(options.rounds, ROUNDS))


def compared(
    files: Mapping[tuple[str, bool], Path], urls: Mapping[str, str], rounds: int
) -> Iterator[Figure]:
    """The figures of those that are there, and why the others are not."""
    cases: dict[str, Case] = {}
    for product in LARGE:
        rival, file = Rival(name=product), files.get((product, False))
        if file is None:
            yield figure(rival, Measure.BULK, Count(None, NOT_BUILT))
            continue
        whole = authorities_in(file.read_bytes()) and file.stat().st_size
        yield figure(rival, Measure.WHOLE, Count(whole or None, "nobody is trusted by it"))
        words = ("-sSf", "--cacert", urls["ca"], "--tls13-ciphers", CIPHER, urls["bulk"])
        cases[product] = Case(name=product, words=(str(file), *words))
    spent = interleaved(list(cases.values()), rounds)
    for product, milliseconds in spent.items():
        yield figure(Rival(name=product), Measure.BULK, Count(milliseconds))
    for product in spent:
        if product != BASE:
            part = spent[product] / spent[BASE] if spent.get(BASE) else None
            yield figure(Rival(name=product), Measure.OF_H2, Count(part, f"{BASE}: {NOT_BUILT}"))
