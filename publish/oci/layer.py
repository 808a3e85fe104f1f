"""One layer of an image: a tar in which nothing is left to chance.

https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import PublishError


@dataclass(frozen=True, kw_only=True)
class LayerFile:
    """A file of this machine, and where it goes."""

    path: PurePosixPath
    source: Path
    sha256: str
    """What the bytes must be."""
    mode: int
    links: tuple[PurePosixPath, ...] = ()

    def read(self) -> bytes:
        """Return the bytes. Raises PublishError when they are others by now."""
        data = self.source.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            msg = f"{self.source} is not what was proven: its sha256 is {found}, not {self.sha256}."
            raise PublishError(msg, why="it was changed since", next="inv build makes it anew")
        return data


def layer_tar(
    files: Iterable[LayerFile], directories: Mapping[PurePosixPath, int], *, epoch: int
) -> bytes:
    """Return a layer of ``files`` and of ``directories`` by path with their modes, every time in it ``epoch``.

    Everything belongs to root; directories on the way to a file are made. Raises PublishError for a changed file.
    """
    files = tuple(files)
    paths = [path for file in files for path in (file.path, *file.links)]
    parents = {parent: 0o755 for path in (*paths, *directories) for parent in path.parents}
    parents.pop(PurePosixPath("/"), None)  # the root is not ours to make
    members: dict[PurePosixPath, tuple[tarfile.TarInfo, bytes]] = {}

    def add(path: PurePosixPath, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
        member = tarfile.TarInfo(str(path).lstrip("/"))
        member.type, member.mode, member.mtime = kind, stat.S_IMODE(mode), epoch
        member.size, member.linkname = len(data), link
        members[path] = (member, data)

    for path, mode in {**parents, **directories}.items():
        add(path, tarfile.DIRTYPE, mode)
    for file in files:
        add(file.path, tarfile.REGTYPE, file.mode, file.read())
        for link in file.links:
            if link not in members:  # a real file of that name wins over an applet
                add(link, tarfile.SYMTYPE, 0o777, link=str(file.path))
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(members):
            member, data = members[path]
            tar.addfile(member, io.BytesIO(data))
    return layer.getvalue()
