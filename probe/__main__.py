"""Run the probe: python -m probe, and the entry of the frozen program."""

from __future__ import annotations

from probe.cli import main
from probe.system import end

if __name__ == "__main__":
    end(main())
