"""How small a registry, or whoever compresses a download, makes each file."""

import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from core.threads import in_threads
from flow.context import Context
from publish.manifest import Artifact, read_manifest

LEVEL = 9
GZIP = 31
"""What zlib calls the largest window in gzip's form: without a name, and with no time."""
CHUNK = 1 << 20


def with_gzip(context: Context, artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return the artifacts with their sizes after gzip: measured once, then the manifest knows them."""
    known = {artifact.sha256: artifact.gzip for artifact in read_manifest(context.artifacts)}

    def measured(artifact: Artifact) -> Artifact:
        size = known.get(artifact.sha256)
        return replace(artifact, gzip=size or gzip_size(context.blob(artifact.sha256)))

    return list(
        in_threads(measured, artifacts, jobs=context.jobs, name="gzip", cancel=context.cancel)
    )


def gzip_size(file: Path) -> int:
    """Return how many bytes gzip makes of a file. Raises OSError."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    size = 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
