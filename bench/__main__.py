"""Measures what was built, and the building. Run as ``./inv bench``."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict

from bench.builds import cold_builds, real_build, warm_builds, warm_targets
from bench.report import Figure, show
from bench.runs import probe_runs, runs
from bench.sizes import sizes
from core.errors import ExitCode, FromscratchError
from core.visible import visible

PARTS = (sizes, runs, probe_runs, warm_builds, warm_targets, real_build, cold_builds)


def main() -> int:
    """Measure, print, and return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="inv bench")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    # Measured times mean nothing without it.
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before measuring"
    figures: list[Figure] = []
    for part in PARTS:
        print(f"measuring {part.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        figures += part(options)
    if options.json:
        rows = [{**asdict(figure), "state": figure.state} for figure in figures]
        print(json.dumps({"version": 1, "machine": machine, "figures": rows}, indent=2))
    else:
        print(f"{show(figures)}\n\n{machine}")
    return int(any(figure.state == "MISSED" for figure in figures))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError, FromscratchError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        sys.exit(ExitCode.STEP)
