"""`inv build`: what it ends with. The work is `flow.build`."""

from collections.abc import Iterable

from console.table import table
from publish.manifest import Artifact

HEAD = (
    "product",
    "target",
    "version",
    "bytes",
    "form",
    "verdict",
    "smoke",
    "seconds",
    "cached",
    "file",
)


def closing_table(artifacts: Iterable[Artifact]) -> str:
    """Return one line per file."""
    rows = [
        (
            artifact.product,
            artifact.target,
            artifact.release,
            f"{artifact.size:,}",
            "upx" if artifact.packed else "plain",
            "ok" if artifact.verdict.ok else "REFUSED",
            artifact.smoke.state,
            f"{artifact.seconds.build:.1f}",
            "yes" if artifact.cached else "no",
            f"artifacts/{artifact.path}",
        )
        for artifact in artifacts
    ]
    return table(HEAD, rows)
