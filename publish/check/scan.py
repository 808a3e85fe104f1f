"""What is in a release directory, read with suspicion: every regular file by its hash, and nothing through a link."""

import stat
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PublishError
from core.files import hash_file
from publish.check.findings import Check
from publish.release.release_dir import empty_directories, walk
from publish.release.sums import (
    BARE,
    COSIGNATURE,
    NAME,
    PROVENANCE,
    PUBLIC_KEY,
    PUBLIC_PEM,
    SIGNATURE,
    is_below,
    is_plain,
)
from publish.trust.licences import DIRECTORY
from publish.trust.sbom import SUFFIX
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX

LARGEST_FILE = 2 << 30
"""Bytes: nothing in a release is nearly as large, and a hole of a terabyte takes hours to hash."""

ARCHIVE = ".tar"


@dataclass(kw_only=True)
class Scan(Check):
    """The files of a release directory."""

    directory: Path
    only: tuple[str, ...] = ()
    """The files that the caller asks about; none: all of them, and nothing may be missing."""
    hashes: dict[str, str] = field(default_factory=dict)
    """sha256 of every regular file."""
    modes: dict[str, int] = field(default_factory=dict)
    """Of each of them."""

    def programs(self) -> list[str]:
        """The files that run."""
        others = {NAME, SIGNATURE, BARE, PUBLIC_KEY, PUBLIC_PEM, PROVENANCE}
        return [
            name
            for name in self.names()
            if name not in others
            and not name.endswith((SUFFIX, SPDX_SUFFIX, ARCHIVE))
            and not COSIGNATURE.fullmatch(name)
            and not any(is_below(name, directory) for directory in (DIRECTORY, "sources"))
        ]

    def of_interest(self, name: str) -> bool:
        """Whether a file is looked at: all are, or those that are asked for and what is said about them."""
        about = {NAME, SIGNATURE, BARE, PUBLIC_KEY, PUBLIC_PEM, PROVENANCE}
        about |= {file + suffix for file in self.only for suffix in (SUFFIX, SPDX_SUFFIX)}
        return not self.only or name in {*self.only, *about} or bool(COSIGNATURE.fullmatch(name))

    def names(self, suffix: str = "") -> list[str]:
        """The files at the top that end with ``suffix``."""
        return [name for name in sorted(self.hashes) if "/" not in name and name.endswith(suffix)]

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file. Raises PublishError when it is not there, or large."""
        if name not in self.hashes:
            msg = "is missing"
            raise PublishError(msg)
        try:
            with (self.directory / name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            msg = f"cannot be read: {error.strerror}"
            raise PublishError(msg) from error
        if len(data) > limit:
            msg = f"is larger than {limit:,} bytes"
            raise PublishError(msg)
        return data

    def text(self, name: str, limit: int) -> str:
        """Return a small file that is text. Raises PublishError."""
        try:
            return self.read(name, limit).decode("utf-8")
        except UnicodeDecodeError as error:
            msg = "is not text"
            raise PublishError(msg) from error

    def scan(self) -> None:
        """Hash every regular file; nothing else belongs in a release."""
        try:
            entries = [entry for entry in walk(self.directory) if self.of_interest(entry[0])]
            empty = [] if self.only else list(empty_directories(self.directory))
        except (OSError, RecursionError) as error:
            self.found(str(self.directory), f"cannot be read: {getattr(error, 'strerror', error)}")
            return
        for name in empty:
            self.found(name, "is an empty directory")
        for name, status in entries:
            if stat.S_ISLNK(status.st_mode):
                self.found(name, "is a symbolic link")
            elif not stat.S_ISREG(status.st_mode):
                self.found(name, "is not a regular file")
            elif status.st_size > LARGEST_FILE:
                self.found(name, f"is larger than {LARGEST_FILE:,} bytes")
            elif not is_plain(name):
                self.found(name, "has a name that no file of a release has")
            else:
                try:
                    self.hashes[name] = hash_file(self.directory / name)
                except OSError as error:
                    self.found(name, f"cannot be read: {error.strerror}")
                    continue
                self.modes[name] = stat.S_IMODE(status.st_mode)
        self._modes()

    def _modes(self) -> None:
        """Note modes that are not the release's. Whoever downloads single files loses them."""
        programs = set(self.programs())
        odd = []
        for name, mode in sorted(self.modes.items()):
            if mode & 0o7000:
                self.found(name, f"has mode {mode:04o}: it would run as another user")
            elif mode != (0o755 if name in programs else 0o644):
                odd.append(f"{name} has {mode:04o}")
        if odd:
            more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
            self.notes.append(
                f"modes are not the release's, 0755 for programs and 0644 for the rest: {odd[0]}{more}"
            )
