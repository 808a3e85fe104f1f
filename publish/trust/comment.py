"""The trusted comment of a signature: what is signed, of which project, in which version, from when.

A signature over a list of files does not say whose list it is, or how old: the comment, which is signed along, does. So
neither an old release nor one of another project can be shown in the place of this one.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from publish.trust.published import PublishedFile

PROJECT = "fromscratch"
NUMBER = re.compile(r"-r[0-9]+$")
"""A build number at the end of a version."""


def version_of(files: Iterable[PublishedFile]) -> str:
    """Return what a release is called: ``curl-8.21.0+probe-0.2.0-r1``."""
    return "+".join(
        sorted({f"{file.product.partition(':')[0]}-{file.version}{file.mark}" for file in files})
    )


def write_comment(kind: str, name: str, data: bytes, *, epoch: int, version: str) -> str:
    """Return the comment for a signature over ``data``, the ``kind`` (file, image) called ``name``.

    ``epoch`` in seconds since 1970: the newest release's date.
    """
    day = datetime.fromtimestamp(epoch, UTC).date().isoformat()
    said = {
        "timestamp": str(epoch),
        kind: name,
        "hashed": "",
        "project": PROJECT,
        "version": version,
        "date": day,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return "\t".join(f"{key}:{text}" if text else key for key, text in said.items())


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody expects of a release or an image, beyond its being whole."""

    version: str = ""
    """``8.21.0``, ``curl-8.21.0``, or all that the comment says; '': any."""
    since: date | None = None
    """It must not be older than this; None: it may be of any age."""

    def __bool__(self) -> bool:
        return bool(self.version or self.since)


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A trusted comment that has been read; what it does not say is ''."""

    words: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Comment":
        """Read ``key:value`` words with tabs between them."""
        pairs = (word.partition(":") for word in text.split("\t"))
        return cls(words={key: value for key, _, value in pairs})

    def names(self, kind: str, name: str) -> bool:
        return self.words.get(kind) == name

    @property
    def version(self) -> str:
        return self.words.get("version", "")

    @property
    def date(self) -> str:
        """``2026-01-02``."""
        return self.words.get("date", "")

    def wrong(self, data: bytes) -> str:
        """Return what speaks against its being about ``data`` of this project; '' when nothing does."""
        project, sha256 = self.words.get("project", PROJECT), self.words.get("sha256")
        if project != PROJECT:
            return f"was made for another project: {project}"
        if sha256 not in {None, hashlib.sha256(data).hexdigest()}:
            return f"was made for other bytes: sha256 {sha256}"
        return ""

    def unlike(self, wanted: Wanted) -> list[str]:
        """Return how it differs from what is expected."""
        found = []
        if wanted.version and not is_version(wanted.version, self.version):
            holds = f"it is {self.version}" if self.version else "its signature names none"
            found.append(f"version {wanted.version} was expected, and {holds}")
        if wanted.since:
            try:
                old = date.fromisoformat(self.date) < wanted.since
                holds = f"it is of {self.date}"
            except ValueError:
                old, holds = True, "its signature names no date"
            if old:
                found.append(f"nothing older than {wanted.since} was expected, and {holds}")
        return found


def is_version(wanted: str, found: str) -> bool:
    """Return whether ``found``, of a release or an image's tag, is or holds the version that is wanted.

    >>> is_version("8.21.0", "curl-8.21.0-r1+probe-0.2.0")
    True
    >>> is_version("8.21.0", "8.21.0-mini")
    True
    >>> is_version("8.21.0", "8.21.01")
    False
    """
    parts = {found, *found.split("+")}
    parts |= {NUMBER.sub("", part) for part in parts}
    return any(
        part == wanted or part.endswith(f"-{wanted}") or part.startswith(f"{wanted}-")
        for part in parts
    )
