"""What a release says beyond its files, looked up where it is: sources in the cache, the toolchain, the project."""

import hashlib
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from builders.sources.archive import ArchiveMember, MemberKind, Unreadable, members
from builders.toolchain import recorded
from core.errors import PublishError
from flow.context import ROOT, Context
from publish.trust.components import Component, Wheel, read_wheels
from publish.trust.licences import SourceFile
from publish.trust.provenance import BUILDER, BuildPlatform, Hosting
from publish.trust.revision import Revision

LARGEST = 4 << 30
"""Bytes of an unpacked source: CPython has 130 MB."""


def find_revision(context: Context) -> Revision:
    """Look which state of this project is here. Raises PublishError."""
    return Revision.of(ROOT, context.recipes, claimed=context.settings["revision"])


@dataclass(frozen=True, kw_only=True)
class ReleaseInputs:
    """What `publish` is given by the other packages."""

    context: Context
    find_revision: Callable[[Context], Revision] = find_revision

    @cached_property
    def wheels(self) -> tuple[Wheel, ...]:
        """The toolchain's packages, as requirements.txt locks them."""
        requirements = (ROOT / "requirements.txt").read_text("utf-8")
        settings = (self.context.toolchain.scripts / "toolchain.toml").read_text("utf-8")
        return read_wheels(requirements, list(tomllib.loads(settings)["wheels"]))

    @cached_property
    def builder(self) -> BuildPlatform:
        """Who builds here, and with what. Raises PublishError when git cannot say what this tree is."""
        settings = self.context.settings
        return BuildPlatform(
            id=settings["builder"] or BUILDER,
            hosting=Hosting.of(os.environ),
            toolchain=self.context.toolchain.digest,
            wheels=self.wheels,
            installed=self.installed,
            source=settings["source"],
            revision=self.revision,
        )

    @cached_property
    def revision(self) -> Revision:
        """Which state of the project makes a release. Raises PublishError."""
        return self.find_revision(self.context)

    def require_unchanged(self) -> None:
        """Raise PublishError when the tree is another one by now than `revision` says: what is signed names that."""
        if self.find_revision(self.context) != self.revision:
            msg = "The tree was changed while it was being published."
            raise PublishError(
                msg, why="a file was edited, or another commit checked out", next="run it again"
            )

    @cached_property
    def installed(self) -> dict[str, str]:
        """What each wheel of the toolchain brought: sha256 over the lines of its RECORD, by name."""
        found = {}
        for record in self.context.toolchain.records():
            name = record.parent.name.partition("-")[0]
            found[name] = hashlib.sha256("\n".join(recorded(record)).encode()).hexdigest()
        return found

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
            yield _files(self.context.toolchain.packages / component.wheel.name, "**/*")
            return
        if not component.sha256:  # our own source: the text stands at the top of the project
            local = self.context.recipes[component.name].local
            yield _files(local.parent if local else ROOT, "*")
            return
        try:
            with members(self.archive(component), max_read=LARGEST) as found:
                yield _members(found, wheel=component.filename.endswith(".whl"))
        except Unreadable as error:
            msg = f"The source of {component.name} {component.version} cannot be read: {error}"
            raise PublishError(msg, next="inv cache verify, then inv fetch") from error


@dataclass(frozen=True)
class _Text:
    """A file of a source, on this machine or in an archive."""

    name: str
    size: int
    read: Callable[[], bytes]


def _files(directory: Path, pattern: str) -> Iterator[SourceFile]:
    for path in sorted(directory.glob(pattern)):
        if path.is_file():
            name = path.relative_to(directory).as_posix()
            yield _Text(name, path.stat().st_size, path.read_bytes)


def _members(found: Iterator[ArchiveMember], *, wheel: bool) -> Iterator[SourceFile]:
    """A source archive has everything in one directory; a wheel has not."""
    for member in found:
        if member.kind is MemberKind.FILE:
            name = member.name.removeprefix("./")
            name = name if wheel else name.partition("/")[2]
            yield _Text(name, member.size, partial(b"".join, member.chunks))
