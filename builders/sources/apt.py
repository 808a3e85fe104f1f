"""What Debian has: its index of sources, fetched and checked by this machine's own apt, in a directory of our own.

apt knows the mirror, the proxies and the keys of this machine; nothing of it is changed, and no root is needed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from threading import Lock

from builders.sources.client import MirrorError
from core.cancel import CancelToken
from core.errors import EngineError
from core.files import SHA256
from core.process import failed, run_program

SUITE = "unstable"
"""Where Debian's newest releases are; what is in testing and stable came from there."""
OTHER_SUITES = ("testing", "stable-backports", "experimental", "stable", "stable-security")
"""Where else to look, in this order, when unstable's newest cannot be had: a mirror may have what came before."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 180.0

_SOURCES = "debian.sources"
_DIRECTORY = re.compile(r"pool/[a-z0-9][a-z0-9+.-]*(?:/[A-Za-z0-9][A-Za-z0-9+.~-]*)+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_-]*")


@dataclass(frozen=True, kw_only=True)
class PoolFile:
    """A file of Debian's pool, as the signed index has it. ``path`` is below the mirror's base; ``size`` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DebianRelease:
    """One version of a source package: upstream's part of it."""

    version: str
    """Upstream's, without Debian's epoch and revision."""
    archive: PoolFile
    signature: PoolFile | None


@dataclass(frozen=True, kw_only=True)
class Apt:
    """apt with sources, lists and cache below ``directory``, each suite's in one of its own, because apt drops what its
    sources do not name. ``bases`` is called when it comes to that."""

    directory: Path
    bases: Callable[[], tuple[str, ...]]
    keyring: Path = KEYRING
    cancel: CancelToken = field(default_factory=CancelToken)
    _lock: Lock = field(default_factory=Lock)
    _failed: dict[str, str] = field(default_factory=dict)

    def releases(self, package: str, suite: str = SUITE) -> dict[str, DebianRelease]:
        """Return a suite's releases of a source package by version. Raises MirrorError when its index cannot be had."""
        if not _NAME.fullmatch(package):
            msg = f"'{package}' is no name of a source package"
            raise MirrorError(msg)
        with self._lock:  # two that update at once would be in each other's way
            if (
                suite not in self._failed
            ):  # asked once: who cannot be reached is not waited for by every recipe
                self._failed[suite] = self._update(suite)
            if reason := self._failed[suite]:
                raise MirrorError(reason)
            text = self._run(suite, "apt-cache", "showsrc", "--only-source", package)
        return {release.version: release for release in read_stanzas(text, package)}

    def _update(self, suite: str) -> str:
        """Fetch a suite's index from the first mirror that has it; return why none could, or ''."""
        directory, reasons = self._of(suite), []
        for base in self.bases():
            for name in ("lists/partial", "cache/archives/partial"):
                (directory / name).mkdir(parents=True, exist_ok=True)
            signed = f"Signed-By: {self.keyring}\n" if self.keyring.is_file() else ""
            (directory / _SOURCES).write_text(
                f"Types: deb-src\nURIs: {base}\nSuites: {suite}\nComponents: main\n{signed}",
                "utf-8",
            )
            try:
                self._run(suite, "apt-get", "update", "--quiet")
            except MirrorError as error:
                reasons.append(f"{base}: {error.reason}")
            else:
                return ""
        return "; ".join(reasons) or "apt names no Debian archive on this machine"

    def _of(self, suite: str) -> Path:
        return self.directory / suite

    def _run(self, suite: str, program: str, *words: str) -> str:
        directory = self._of(suite)
        settings = {
            "Dir::Etc::SourceList": directory / _SOURCES,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": directory,
            "Dir::State::Lists": directory / "lists",
            "Dir::State::Status": "/dev/null",
            "Dir::Cache": directory / "cache",
            "APT::Update::Error-Mode": "any",
            "Acquire::Languages": "none",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        try:
            done = run_program(
                [program, *options, *words],
                seconds=SECONDS,
                package="apt",
                purpose="read Debian's index of sources",
                check=False,
                cancel=self.cancel,
            )
            if done.returncode:
                raise failed(done, since="E:")
        except EngineError as error:
            raise MirrorError(error.what) from error
        return done.stdout


def read_stanzas(text: str, package: str) -> list[DebianRelease]:
    """Read what ``apt-cache showsrc`` prints; what is not as it should be is left out."""
    stanzas = map(HeaderParser().parsestr, re.split(r"\n\s*\n", text.strip()))
    found = (_release(fields, package) for fields in stanzas if fields.get("Package") == package)
    return [release for release in found if release]


def _release(fields: Message, package: str) -> DebianRelease | None:
    directory = str(fields.get("Directory", "")).strip()
    version = str(fields.get("Version", "")).strip()
    version = version.partition(":")[2] or version
    version = version.rpartition("-")[0] or version
    if not _DIRECTORY.fullmatch(directory) or ".." in directory:
        return None
    files = {}
    for line in str(fields.get("Checksums-Sha256", "")).splitlines():
        match line.split():
            case [sha256, size, name] if (
                SHA256.fullmatch(sha256) and size.isdecimal() and _NAME.fullmatch(name)
            ):
                path = str(PurePosixPath(directory) / name)
                files[name] = PoolFile(path=path, size=int(size), sha256=sha256)
            case _:
                pass
    begin = f"{package}_{version}.orig.tar."
    names = [
        name for name in files if name.startswith(begin) and "." not in name.removeprefix(begin)
    ]
    if len(names) != 1:
        return None
    return DebianRelease(
        version=version, archive=files[names[0]], signature=files.get(f"{names[0]}.asc")
    )
