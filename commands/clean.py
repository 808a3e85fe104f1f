"""`inv clean`: removes what was built, and what a killed run left behind."""

import os
from contextlib import nullcontext, suppress

from builders.engines.docker import LABEL, connect, engine_errors
from core.errors import EngineError
from core.remove import remove_tree
from flow.context import Context


def clean(context: Context, *, cache: bool) -> list[str]:
    """Remove results and leftovers, with ``cache`` that too; return what to print."""
    artifacts, kept = context.artifacts, context.cache_directory
    names = ("files", "oci", "compare", "manifest.json", "timings.json")
    doomed = [artifacts / name for name in names]
    doomed += [
        path
        for path in sorted([*kept.glob("boxes/*-*"), *kept.glob("tmp/*")])
        # Else another run is at work in there.
        if not any(part.isdecimal() and _alive(int(part)) for part in path.name.split("-")[:2])
    ]
    lines = []
    for path in doomed:
        if path.is_dir():
            with suppress(OSError) if path.is_relative_to(kept) else nullcontext():
                remove_tree(path)
        elif path.exists():
            path.unlink(missing_ok=True)
        else:
            continue
        lines.append(f"removed {path}")
    lines += _remove_containers()
    if cache and kept.is_dir():
        remove_tree(kept)
        lines.append(f"removed {kept}")
    return lines or ["nothing to remove"]


def _remove_containers() -> list[str]:
    try:
        client = connect()
    except EngineError:
        return []
    lines = []
    with engine_errors():
        labelled = {"label": LABEL}
        for container in client.containers.list(all=True, filters=labelled, ignore_removed=True):
            owner = container.labels[LABEL]
            if not (owner.isdecimal() and _alive(int(owner))):
                container.remove(force=True, v=True)
                lines.append(f"removed container {container.name}")
    return lines


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
