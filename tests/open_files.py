"""How many files this process has open: what a test must not leave behind."""

import gc
from pathlib import Path


def open_files() -> int:
    """Count them. What other tests left for the garbage collector is collected first, or it might be in between."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
