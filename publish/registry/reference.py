"""Where images go: `oci://HOST[/REPO]`, and what one of them is called there.

Names, tags and digests are as https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
has them; plain http is for loopback alone, unless somebody says otherwise.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Self

from core.errors import UsageError
from recipes.images import NAME, TAG

SCHEME = "oci://"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)
LONGEST = 255
"""Characters of host and path together: many clients take no more."""

HUB = ("docker.io", "registry-1.docker.io")
"""The one registry whose API lives at another host than its name says."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A directory of a registry: tags, manifests and blobs live below it."""

    host: str
    """``127.0.0.1:5000``, ``ghcr.io``."""
    path: str = ""
    """``fromscratch/static-curl``; '' is the registry's root, which holds only what is `joined` to it."""
    insecure: bool = False
    """Plain http even though the host is another machine."""

    @classmethod
    def parse(cls, text: str, *, insecure: bool = False) -> Self:
        """Read ``oci://HOST[/REPO]``; the scheme may be left out. Raises UsageError."""
        bare = _without_scheme(text)
        if "@" in bare:
            msg = f"'{redacted(text)}' must name neither user nor digest."
            raise UsageError(msg, next="docker login HOST, then write oci://HOST/REPO")
        host, _, path = bare.removesuffix("/").partition("/")
        return cls(host=host, path=path, insecure=insecure)

    def __post_init__(self) -> None:
        """Refuse what a registry would refuse, or worse, take for something else."""
        found = HOST.fullmatch(self.host)
        if not found or int(found["port"] or 1) not in range(1, 65536):
            msg = f"'{redacted(self.host)}' is no registry's host."
            raise UsageError(msg, next="write it as oci://HOST[:PORT]/REPO, without user or scheme")
        if self.host.startswith("[") and not _address(self.host.partition("]")[0][1:]):
            msg = f"'{self.host}' is no IPv6 address."
            raise UsageError(msg, next="write it as oci://[::1]:5000/REPO")
        for part in self.path.split("/") if self.path else ():
            if not NAME.fullmatch(part):
                msg = f"'{redacted(part)}' of '{redacted(self.path)}' is nothing a registry could be asked for."
                raise UsageError(msg, why=_guess(part), next=f"try {SCHEME}{self.host}/REPO")
        if len(str(self)) > LONGEST:
            msg = f"'{str(self)[:40]}...' is longer than {LONGEST} characters."
            raise UsageError(msg, next="choose a shorter path")

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host

    def joined(self, name: str) -> Self:
        """The repository of one image below this one."""
        return replace(self, path=f"{self.path}/{name}" if self.path else name)

    @property
    def name(self) -> str:
        """The last word of the path: the image."""
        return self.path.rpartition("/")[2]

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this very machine."""
        found = HOST.fullmatch(self.host)
        assert found, "checked when it was made"
        if found["name"].lower() == "localhost":
            return True
        address = _address(found["name"].strip("[]"))
        return address is not None and address.is_loopback

    @property
    def plain(self) -> bool:
        """Whether it is spoken to in plain http."""
        return self.loopback or self.insecure

    @property
    def server(self) -> str:
        """Host and port that answer for the registry."""
        return HUB[1] if self.host == HUB[0] else self.host


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One image of a registry, by tag or by digest."""

    repository: Repository
    word: str
    """The tag, or ``sha256:`` and 64 hex digits."""

    @classmethod
    def parse(cls, text: str, *, insecure: bool = False) -> Self:
        """Read ``oci://HOST/REPO/NAME:TAG`` or ``...@sha256:HEX``. Raises UsageError."""
        bare = _without_scheme(text)
        before, at, digest = bare.rpartition("@")
        if at and not DIGEST.fullmatch(digest):
            msg = f"'{redacted(text)}' has an '@' that no digest follows."
            raise UsageError(
                msg, next="write it as oci://HOST/REPO/NAME@sha256:HEX, without a user"
            )
        if not at:
            before, colon, digest = bare.rpartition(":")
            if not colon or "/" in digest:
                before, digest = bare, ""
        repository = Repository.parse(before, insecure=insecure)
        if not repository.path:
            msg = f"'{redacted(text)}' names a registry, but no image of it."
            raise UsageError(msg, next=f"{SCHEME}{repository.host}/REPO/NAME:TAG")
        if not digest:
            msg = f"'{redacted(text)}' lacks its tag."
            raise UsageError(
                msg, next=f"{SCHEME}{repository}:TAG, or {SCHEME}{repository}@sha256:HEX"
            )
        return cls(repository=repository, word=digest)

    def __post_init__(self) -> None:
        """Refuse what is neither tag nor digest."""
        if not (DIGEST if ":" in self.word else TAG).fullmatch(self.word):
            msg = f"'{redacted(self.word)}' is neither a tag nor a digest."
            raise UsageError(
                msg, next="a tag has up to 128 letters, digits and . _ -; a digest is sha256:HEX"
            )

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.by_digest else ':'}{self.word}"

    @property
    def by_digest(self) -> bool:
        """Whether nobody can move what it points at."""
        return ":" in self.word


def redacted(text: str) -> str:
    """What of a user's text may be quoted: nothing of ``user:password@``, and no control characters."""
    before, _, kept = text.rpartition("@")
    if DIGEST.fullmatch(kept):
        kept = f"{before.rpartition('@')[2]}@{kept}"
    return "".join(char if char.isprintable() else "?" for char in kept)


def _without_scheme(text: str) -> str:
    scheme, colons, rest = text.partition("://")
    if not colons:
        return text
    if f"{scheme}://" != SCHEME:
        msg = f"A registry is written as {SCHEME}HOST/REPO, not as {redacted(scheme)}://."
        raise UsageError(msg, next=f"{SCHEME}{redacted(rest)}")
    return rest


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _guess(part: str) -> str:
    if part != part.lower():
        return "repositories are written in small letters"
    if ":" in part or "@" in part:
        return "a repository has no tag and no user: both are named elsewhere"
    return "its parts are small letters and digits, joined by '.', '_', '__' or '-'"
