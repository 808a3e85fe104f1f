"""Run the probe: python -m probe, and the entry of the frozen program."""

from __future__ import annotations

import posix
import sys

from probe.cli import main

if __name__ == "__main__":
    # Not sys.exit: nothing is left to clean up, and ending the interpreter costs more than a check.
    posix._exit(main(sys.argv[1:], posix.environ))
