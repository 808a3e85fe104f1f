"""Debian's security tracker: which source packages have a vulnerability, and in which version it was mended.

https://security-tracker.debian.org/tracker/data/json. What is linked in here is upstream's source of the same version,
without Debian's patches: what Debian mended by a patch is not mended here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from audit.advisory import Advisory, loose_version
from audit.severity import Severity, by_word
from audit.subject import Subject

SOURCE = "Debian's security tracker"
NEWEST_FIRST = ("sid", "duke", "forky", "trixie", "bookworm", "bullseye")
"""Releases of Debian: upstream's newest source is in the first of them."""

Tracker = Mapping[str, Any]


def advisories(tracker: Tracker, subjects: Iterable[Subject]) -> Iterator[Advisory]:
    """Yield what the tracker says of ``subjects``."""
    for subject in subjects:
        entries = tracker.get(subject.debian) if subject.debian else None
        for number, entry in entries.items() if isinstance(entries, dict) else ():
            release = _release(entry)
            if release is None:
                continue
            fixed = str(release.get("fixed_version", ""))
            if release.get("status") == "resolved" and not _is_before(subject.version, fixed):
                continue
            if release.get("status") not in {"resolved", "open"}:
                continue  # undetermined: Debian does not know whether it is there at all
            yield Advisory(
                subject=subject,
                id=str(number),
                summary=str(entry.get("description", "")).partition("\n")[0][:200],
                severity=_severity(release),
                fixed="" if fixed in {"", "0"} else _written(fixed),
                source=SOURCE,
            )


def upstream_part(version: str) -> str:
    """Return upstream's version out of Debian's: no epoch, no revision, and of a repack what it really is."""
    text = version.partition(":")[2] or version
    text = text.rpartition("-")[0] or text
    return re.split(r"[+~](?:dfsg|ds|repack)", text.rpartition("+really")[2])[0]


def _is_before(version: str, fixed: str) -> bool:
    """Tell whether upstream's ``version`` lacks what Debian mended in ``fixed``: by a patch, or by a newer release."""
    if fixed == "0":
        return False  # it never was there
    ours, theirs = loose_version(version), loose_version(upstream_part(fixed))
    if ours is None or theirs is None:
        return True
    return ours < theirs or (ours == theirs and _is_patched(fixed))


def _is_patched(fixed: str) -> bool:
    """A later revision than a release's first one: Debian added something of its own."""
    revision = re.match(r"(\d+)", fixed.rpartition("-")[2]) if "-" in fixed else None
    return revision is not None and (int(revision[1]) > 1 or "." in fixed.rpartition("-")[2])


def _written(fixed: str) -> str:
    return (
        f"{upstream_part(fixed)} with Debian's patch"
        if _is_patched(fixed)
        else upstream_part(fixed)
    )


def _release(entry: object) -> Mapping[str, Any] | None:
    """What is said of the release of Debian that has the newest source."""
    releases = entry.get("releases") if isinstance(entry, dict) else None
    if not isinstance(releases, dict):
        return None
    for name in NEWEST_FIRST:
        if isinstance(releases.get(name), dict):
            found: Mapping[str, Any] = releases[name]
            return found
    return None


def _severity(release: Mapping[str, Any]) -> Severity:
    return by_word(release.get("urgency", ""))
