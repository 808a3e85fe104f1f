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
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 180.0

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
    """apt with sources, lists and cache below ``directory``. ``bases`` is called when it comes to that."""

    directory: Path
    bases: Callable[[], tuple[str, ...]]
    keyring: Path = KEYRING
    cancel: CancelToken = field(default_factory=CancelToken)
    _lock: Lock = field(default_factory=Lock)
    _updated: list[str] = field(default_factory=list)

    def releases(self, package: str) -> dict[str, DebianRelease]:
        """Return the releases of a source package by version. Raises MirrorError when the index cannot be had."""
        if not _NAME.fullmatch(package):
            msg = f"'{package}' is no name of a source package"
            raise MirrorError(msg)
        with self._lock:  # two that update at once would be in each other's way
            if not self._updated:
                self._updated.append(self._update())
            text = self._run("apt-cache", "showsrc", "--only-source", package)
        return {release.version: release for release in read_stanzas(text, package)}

    def _update(self) -> str:
        """Fetch the index from the first mirror that has it; return that mirror."""
        reasons = []
        for base in self.bases():
            for name in ("lists/partial", "cache/archives/partial"):
                (self.directory / name).mkdir(parents=True, exist_ok=True)
            signed = f"Signed-By: {self.keyring}\n" if self.keyring.is_file() else ""
            self._sources.write_text(
                f"Types: deb-src\nURIs: {base}\nSuites: {SUITE}\nComponents: main\n{signed}",
                "utf-8",
            )
            try:
                self._run("apt-get", "update", "--quiet")
            except MirrorError as error:
                reasons.append(f"{base}: {error.reason}")
            else:
                return base
        raise MirrorError("; ".join(reasons) or "apt names no Debian archive on this machine")

    @property
    def _sources(self) -> Path:
        return self.directory / "debian.sources"

    def _run(self, program: str, *words: str) -> str:
        settings = {
            "Dir::Etc::SourceList": self._sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": self.directory,
            "Dir::State::Lists": self.directory / "lists",
            "Dir::State::Status": "/dev/null",
            "Dir::Cache": self.directory / "cache",
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
