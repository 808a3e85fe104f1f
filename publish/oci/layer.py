"""One layer of an image: an uncompressed tar in which nothing is left to chance.

https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

import io
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, kw_only=True)
class LayerFile:
    """A file of this machine, and where it goes."""

    path: PurePosixPath
    source: Path
    sha256: str
    """What the bytes must be."""
    mode: int
    links: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a layer holds. Everything belongs to root; directories on the way to a file are made."""

    files: tuple[LayerFile, ...]
    directories: Mapping[PurePosixPath, int] = field(default_factory=dict)
    epoch: int
    """Every time in the layer: seconds since 1970."""

    def tar(self, contents: Mapping[str, bytes]) -> bytes:
        """Return the layer, with the bytes of each file by its sha256."""
        members: dict[PurePosixPath, tuple[tarfile.TarInfo, bytes]] = {}
        for path, mode in self._directories().items():
            members[path] = (self._member(path, tarfile.DIRTYPE, mode), b"")
        for file in self.files:
            member = self._member(file.path, tarfile.REGTYPE, file.mode)
            data = contents[file.sha256]
            member.size = len(data)
            members[file.path] = (member, data)
            for link in file.links:
                if link in members:
                    continue  # a real file of that name wins over an applet
                member = self._member(link, tarfile.SYMTYPE, 0o777)
                member.linkname = str(file.path)
                members[link] = (member, b"")
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(members):
                tar.addfile(members[path][0], io.BytesIO(members[path][1]))
        return made.getvalue()

    def _directories(self) -> dict[PurePosixPath, int]:
        """Every directory by path, the ones on the way included; the root is not ours to make."""
        paths: Iterable[PurePosixPath] = [
            path for file in self.files for path in (file.path, *file.links)
        ]
        ways = {way: 0o755 for path in (*paths, *self.directories) for way in path.parents}
        ways.pop(PurePosixPath("/"), None)
        return {**ways, **self.directories}

    def _member(self, path: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(str(path).lstrip("/"))
        member.type = kind
        member.mode = stat.S_IMODE(mode)
        member.mtime = self.epoch
        return member
