"""What a release says beyond its files, looked up where it is: sources in the cache, the toolchain, the project."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builders.sources.archive import ArchiveMember, MemberKind, Unreadable, members
from core.errors import PublishError
from flow.context import ROOT, Context
from publish.trust.components import Component, Wheel, read_wheels
from publish.trust.licences import SourceFile
from publish.trust.provenance import BUILDER, BuildPlatform

LARGEST = 4 << 30
"""Bytes of an unpacked source: CPython has 130 MB."""


@dataclass(frozen=True, kw_only=True)
class ReleaseInputs:
    """What `publish` is given by the other packages."""

    context: Context

    @cached_property
    def wheels(self) -> tuple[Wheel, ...]:
        """The toolchain's packages, as requirements.txt locks them."""
        requirements = (ROOT / "requirements.txt").read_text("utf-8")
        settings = (self.context.toolchain.scripts / "toolchain.toml").read_text("utf-8")
        return read_wheels(requirements, list(tomllib.loads(settings)["wheels"]))

    def builder(self, *, id: str = "", source: str = "", revision: str = "") -> BuildPlatform:
        """Who builds here, and with what."""
        return BuildPlatform(
            id=id or BUILDER,
            toolchain=self.context.toolchain.digest,
            wheels=self.wheels,
            source=source,
            revision=revision,
        )

    def archive(self, component: Component) -> Path:
        """Where the source archive of a component is. Raises PublishError when it is not here any more."""
        blob = self.context.cache.blob(component.sha256) if component.sha256 else None
        if blob is None:
            msg = f"The source of {component.name} {component.version} is not in the cache."
            raise PublishError(msg, next="inv fetch, then again")
        return blob

    @contextmanager
    def reader(self, component: Component) -> Iterator[Iterator[SourceFile]]:
        """Lend the files of a component's source by their paths below its top directory. Raises PublishError."""
        if component.wheel:
            yield _below(self.context.toolchain.packages / component.wheel.name)
            return
        if not component.sha256:  # our own source: the text stands at the top of the project
            local = self.context.recipes[component.name].local
            yield _beside(local.parent if local else ROOT)
            return
        try:
            with members(self.archive(component), max_read=LARGEST) as found:
                yield _inside(found, wheel=component.filename.endswith(".whl"))
        except Unreadable as error:
            msg = f"The source of {component.name} {component.version} cannot be read: {error}"
            raise PublishError(msg, next="inv cache verify, then inv fetch") from error


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file of this machine."""

    name: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def read(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """A file in an archive."""

    name: str
    member: ArchiveMember

    @property
    def size(self) -> int:
        return self.member.size

    def read(self) -> bytes:
        return b"".join(self.member.chunks)


def _below(directory: Path) -> Iterator[SourceFile]:
    for where, _, names in os.walk(directory):
        for name in sorted(names):
            path = Path(where) / name
            yield _File(name=path.relative_to(directory).as_posix(), path=path)


def _beside(directory: Path) -> Iterator[SourceFile]:
    for path in sorted(directory.iterdir()):
        if path.is_file():
            yield _File(name=path.name, path=path)


def _inside(found: Iterator[ArchiveMember], *, wheel: bool) -> Iterator[SourceFile]:
    """A source archive has everything in one directory; a wheel has not."""
    for member in found:
        if member.kind is MemberKind.FILE:
            name = member.name.removeprefix("./")
            yield _Packed(name=name if wheel else name.partition("/")[2], member=member)
