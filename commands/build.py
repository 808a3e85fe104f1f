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
    """Return one line per file, and below them what is to be noted."""
    artifacts = list(artifacts)
    rows = [
        (
            artifact.product,
            artifact.target,
            artifact.release,
            f"{artifact.size:,}",
            _form(artifact),
            "ok" if artifact.verdict.ok else "REFUSED",
            artifact.smoke.state,
            f"{artifact.seconds.build:.1f}",
            "yes" if artifact.cached else "no",
            f"artifacts/{artifact.path}",
        )
        for artifact in artifacts
    ]
    notes = [f"\n{one.path}: {one.not_packed}" for one in artifacts if one.not_packed]
    return table(HEAD, rows) + "".join(notes)


def _form(artifact: Artifact) -> str:
    if artifact.not_packed:
        return "not packed"
    return "upx" if artifact.packed else "plain"
