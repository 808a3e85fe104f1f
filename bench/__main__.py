"""Measures what was built, and the building. Run as ``./inv bench``."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from bench.builds import cold_builds, fresh_builds, real_builds, warm_builds, warm_targets
from bench.bulk import bulk_runs
from bench.checks import check_sizes
from bench.curl_runs import curl_runs
from bench.probes import probe_runs
from bench.record import keep, remember
from bench.report import Figure, bars, show, side_by_side
from bench.runs import runs
from bench.scale import scale
from bench.sizes import open_context, sizes
from bench.verdicts import verdicts
from core.errors import ExitCode, FromscratchError
from core.files import Place, disk_errors
from core.visible import visible
from records.bench import read_bench

Part = Callable[[argparse.Namespace], Iterator[Figure]]

PARTS: Mapping[str, Part] = {
    "sizes": sizes,
    "checks": check_sizes,
    "runs": runs,
    "curl": curl_runs,
    "bulk": bulk_runs,
    "probes": probe_runs,
    "verify": verdicts,
    "warm": warm_builds,
    "targets": warm_targets,
    "builds": real_builds,
    "fresh": fresh_builds,
    "cold": cold_builds,
}
"""What is measured, in this order, by the name that ``--only`` takes."""


QUICK = ("sizes", "curl", "probes")
"""What ``--quick`` measures, unless ``--only`` says what: it takes a minute at most."""


def main() -> int:
    """Measure, print, and return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="inv bench")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--against", default="")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--timings", default="")
    options = parser.parse_args()
    if options.timings and not options.scale:
        parser.error("--timings is for --scale")
    if options.scale:
        return scale(options)
    parts = (options.only or ",".join(QUICK if options.quick else PARTS)).split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--only: there is no '{unknown[0]}'; there are: {', '.join(PARTS)}")
    if options.against and not os.access(options.against, os.X_OK):
        parser.error(f"--against: '{options.against}' is no program")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    artifacts = open_context().artifacts
    read_bench(artifacts)  # a record that cannot be added to is said before anything is measured
    # Measured times mean nothing without it.
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before measuring"
    figures: list[Figure] = []
    for name in parts:
        part = PARTS[name]
        print(f"measuring {part.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        figures += part(options)
    if options.record:
        remember(figures, machine)
    with disk_errors(artifacts, Place.ARTIFACTS):
        keep(artifacts, figures, machine, quick=options.quick)
    if options.json:
        rows = [{**asdict(figure), "state": figure.state, "bar": figure.bar} for figure in figures]
        print(json.dumps({"version": 1, "machine": machine, "figures": rows}, indent=2))
    else:
        together = side_by_side(figures)
        said = (show(figures), together, bars(figures), machine)
        print(*filter(None, said), sep="\n\n")
    # A few rounds on a busy machine say nothing against a program; bytes do.
    held = [figure for figure in figures if figure.unit == "bytes" or not options.quick]
    return int(any(figure.state == "MISSED" for figure in held))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError, FromscratchError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        sys.exit(ExitCode.STEP)
