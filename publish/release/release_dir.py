"""A directory that becomes a release: what is there already, what may be replaced, and what is not ours."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.errors import PublishError
from core.files import atomic, hash_file
from publish.release.sums import BARE, COSIGNATURE, LARGEST, NAME, PROVENANCE, SIGNATURE, read_sums
from publish.trust.envelope import payloads

CHUNK = 1 << 20
OURS = b"urn:fromscratch:build:"
"""Stands in every provenance of ours; see `publish.trust.provenance`."""

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class ReleaseFile:
    """What a file of a release must be: bytes, or another file's bytes."""

    sha256: str
    mode: int = 0o644
    data: bytes | None = None
    source: Path | None = None

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        return cls(sha256=hashlib.sha256(data).hexdigest(), data=data)

    @classmethod
    def of_file(cls, path: Path, sha256: str = "", *, mode: int = 0o644) -> Self:
        """A copy of a file. Raises PublishError unless its bytes are those that were proven, if ``sha256`` is given."""
        try:
            found = hash_file(path)
        except OSError as error:
            msg = f"{path} cannot be read: {error}"
            raise PublishError(msg, next="inv build, or inv image, makes it anew") from error
        if sha256 and found != sha256:
            raise _changed(path, found, sha256)
        return cls(sha256=found, mode=mode, source=path)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes. Raises PublishError when they are others by now."""
        if self.source is None:
            yield self.data or b""
            return
        digest = hashlib.sha256()
        with self.source.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != self.sha256:
            raise _changed(self.source, digest.hexdigest(), self.sha256)


@dataclass(frozen=True, kw_only=True)
class ReleaseDir:
    """The directory, and which of its files a former release had left that this one has no more."""

    directory: Path
    stale: tuple[str, ...]

    @classmethod
    def scan(cls, directory: Path, *, wanted: Mapping[str, ReleaseFile]) -> Self:
        """Read a directory. Raises PublishError, naming them, for files that no release of ours has put there."""
        listed = _listed(directory)
        stale: list[str] = []
        foreign: list[str] = []
        for name, status in walk(directory):
            path = directory / name
            if not stat.S_ISREG(status.st_mode):
                foreign.append(name)
            elif _is_leftover(name, wanted):
                stale.append(name)
            elif name in wanted:
                known = name in listed or name in {NAME, SIGNATURE, BARE}
                if not known and hash_file(path) != wanted[name].sha256:
                    foreign.append(name)
            elif COSIGNATURE.fullmatch(name) and listed:
                # It holds for as long as the list does.
                if NAME not in wanted or wanted[NAME].sha256 != hash_file(directory / NAME):
                    stale.append(name)
            elif (name in {SIGNATURE, BARE} and listed) or listed.get(name) == hash_file(path):
                stale.append(name)
            else:
                foreign.append(name)
        if foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            msg = f"{directory} holds what no release of ours has put there: {', '.join(foreign[:SHOWN])}{more}"
            raise PublishError(msg, next="publish to an empty directory, or move these files away")
        return cls(directory=directory, stale=tuple(stale))

    def write(self, contents: Mapping[str, ReleaseFile]) -> list[str]:
        """Write what is not there yet; return its names. Raises OSError, and PublishError for a changed source."""
        written = []
        for name in sorted(contents):
            path, content = self.directory / name, contents[name]
            if path.is_file() and hash_file(path) == content.sha256:
                if stat.S_IMODE(path.stat().st_mode) != content.mode:
                    path.chmod(content.mode)
                continue
            with atomic(path, mode=content.mode) as file:
                file.writelines(content.chunks())
            written.append(name)
        return written

    def remove_stale(self) -> list[str]:
        """Remove what belongs to it no more, and the directories that this leaves empty."""
        for name in self.stale:
            path = self.directory / name
            path.unlink()
            for parent in list(path.relative_to(self.directory).parents)[:-1]:
                with contextlib.suppress(OSError):
                    (self.directory / parent).rmdir()
        return list(self.stale)


def walk(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below ``directory`` but directories, by path, following no link. Raises OSError."""

    def below(prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(directory / prefix) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{prefix}{entry.name}"
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from below(f"{name}/")
            else:
                yield name, status

    yield from below("")


def empty_directories(directory: Path) -> Iterator[str]:
    """Yield the directories below ``directory`` that nothing is in, by path, following no link. Raises OSError."""
    for path, names, files in os.walk(directory):
        if not names and not files and Path(path) != directory:
            yield Path(path).relative_to(directory).as_posix()


def _listed(directory: Path) -> dict[str, str]:
    """What a former release of ours has put into ``directory``; nothing when there was none."""
    path = directory / NAME
    if not path.exists() or path.is_symlink():
        return {}
    try:
        if path.stat().st_size > LARGEST:
            msg = f"{NAME} is too large."
            raise PublishError(msg)
        sums = read_sums(path.read_bytes())
    except PublishError as error:
        msg = f"{directory} is not a release of ours: {error.what}"
        raise PublishError(msg, next="publish to an empty directory") from error
    provenance = directory / PROVENANCE
    # What somebody else released is not ours to tidy up.
    ours = PROVENANCE in sums and provenance.is_file() and not provenance.is_symlink()
    if not ours or not any(OURS in item for item in payloads(provenance.read_bytes())):
        msg = f"{directory} holds a release that is not ours: its provenance does not say so."
        raise PublishError(msg, next="publish to an empty directory")
    return sums


def _is_leftover(name: str, wanted: Mapping[str, ReleaseFile]) -> bool:
    """A file that a killed run was writing: a dot, the name, a dot and eight letters; see `core.files.atomic`."""
    directory, slash, last = name.rpartition("/")
    found = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}", last)
    return bool(found) and f"{directory}{slash}{found and found[1]}" in wanted


def _changed(path: Path, found: str, wanted: str) -> PublishError:
    msg = f"{path} is not what was proven: its sha256 is {found}, not {wanted}."
    return PublishError(msg, why="it was changed since", next="inv build makes it anew")
