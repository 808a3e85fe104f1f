"""`inv clean`: removes what was built, and what a killed run left behind."""

import os

from builders.engines.docker import LABEL, OWNER_LABEL, connect, engine_errors, is_orphan
from core.errors import EngineError
from core.files import Place, disk_errors
from core.remove import remove
from flow.context import Context

RESULTS = (
    "files",
    "oci",
    "compare",
    "fill",
    "manifest.json",
    "timings.json",
    "rebuilds.json",
    "bench.json",
    "audit.json",
    "report.html",
)
"""What lies in the directory of the results."""


def clean(context: Context, *, cache: bool) -> list[str]:
    """Remove results and leftovers, with ``cache`` that too; return what to print."""
    artifacts, kept = context.artifacts, context.cache_directory
    doomed = [artifacts / name for name in RESULTS]
    lines = []
    for path in doomed:
        if os.path.lexists(path):
            with disk_errors(path, Place.ARTIFACTS):
                remove(path)
            lines.append(f"removed {path}")
    lines += [f"removed {path}" for path in context.sweep()]
    lines += _remove_containers()
    if cache and kept.is_dir():
        with disk_errors(kept, Place.CACHE):
            remove(kept)
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
            match is_orphan(container.labels.get(OWNER_LABEL, "")):
                case True:
                    container.remove(force=True, v=True)
                    lines.append(f"removed container {container.name}")
                case None:
                    # Another machine's, or another container's, with the same engine; or an older version's.
                    lines.append(
                        f"left container {container.name}: its owner cannot be asked here "
                        f"(when nobody is at it: docker rm -fv {container.name})"
                    )
                case False:
                    pass
    return lines
