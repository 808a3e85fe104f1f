"""Records of the Open Source Vulnerability format: OSV's own, its exports, and curl's list, which is written in it.

https://ossf.github.io/osv-schema/
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from audit.advisory import Advisory, loose_version
from audit.severity import of_record
from audit.subject import Subject, repository_of
from builders.sources.versions import Version

Record = Mapping[str, Any]


def advisories(
    records: Iterable[Record], subjects: Iterable[Subject], source: str
) -> Iterator[Advisory]:
    """Yield what ``records`` say of ``subjects``, by name and version."""
    wanted = list(subjects)
    for record in records:
        places = _places(record)
        if record.get("withdrawn") or not isinstance(record.get("id"), str):
            continue
        for subject in wanted:
            of = [place for place in places if is_about(place, record, subject)]
            if any(covers(place, subject) for place in of):
                yield advisory_of(record, subject, source, of)


def advisory_of(
    record: Record, subject: Subject, source: str, places: Iterable[Record] | None = None
) -> Advisory:
    """Return a record that is known to concern a subject; ``places`` are the parts of it that do."""
    of = list(_places(record) if places is None else places)
    aliases = record.get("aliases")
    return Advisory(
        subject=subject,
        id=str(record.get("id", "")),
        aliases=tuple(map(str, aliases)) if isinstance(aliases, list) else (),
        summary=str(record.get("summary") or record.get("details") or "").partition("\n")[0][:200],
        severity=of_record(record, of),
        fixed=_fixed(of, subject),
        source=source,
    )


def is_about(place: Record, record: Record, subject: Subject) -> bool:
    """Tell whether a part of a record is about a subject's program, in whatever version."""
    package = _mapping(place.get("package"))
    ecosystem = str(package.get("ecosystem", "")).partition(":")[0]
    name = str(package.get("name", ""))
    if subject.pypi and ecosystem == "PyPI" and _normal(name) == _normal(subject.pypi):
        return True
    repositories = [str(it.get("repo", "")) for it in _entries(place.get("ranges"))]
    if ecosystem == "GIT":
        repositories.append(name)
    if subject.repository and subject.repository in map(repository_of, filter(None, repositories)):
        return True
    # curl's own list names no ecosystem.
    own = _mapping(record.get("database_specific")).get("package")
    return own == subject.name or (not ecosystem and bool(name) and name == subject.name)


def covers(place: Record, subject: Subject) -> bool:
    """Tell whether a part of a record has the subject's version in it.

    https://ossf.github.io/osv-schema/#evaluation. What names commits alone cannot be told from versions, and counts.
    """
    version = loose_version(subject.version)
    listed = place.get("versions")
    names = set(map(str, listed)) if isinstance(listed, list) else set()
    if {subject.version, subject.tag} & names:
        return True
    tellable = bool(names)
    for entry in _entries(place.get("ranges")):
        events = [*_entries(entry.get("events"))]
        if entry.get("type") == "GIT":
            events = [*_entries(_mapping(entry.get("database_specific")).get("versions"))]
        if not events:
            continue
        tellable = True
        if version is None or _within(version, events):
            return True
    return not tellable


def _within(version: Version, events: Iterable[Record]) -> bool:
    steps = []
    for event in events:
        for kind, text in event.items():
            at = Version(()) if str(text) == "0" else loose_version(str(text))
            if kind in {"introduced", "fixed", "last_affected", "limit"} and at is not None:
                steps.append((at, kind))
    inside = False
    # At one version what ends a range comes before what begins one, so that a version fixed and broken again is broken.
    for at, kind in sorted(steps, key=lambda step: (step[0], step[1] == "introduced")):
        if kind == "introduced" and at <= version:
            inside = True
        elif (kind in {"fixed", "limit"} and at <= version) or (
            kind == "last_affected" and at < version
        ):
            inside = False
    return inside


def _fixed(places: Iterable[Record], subject: Subject) -> str:
    """The lowest fix that is newer than the subject's version."""
    now = loose_version(subject.version)
    found: list[tuple[Version, str]] = []
    for place in places:
        for entry in _entries(place.get("ranges")):
            events = [
                *_entries(entry.get("events")),
                *_entries(_mapping(entry.get("database_specific")).get("versions")),
            ]
            for event in events:
                text = str(event.get("fixed", ""))
                at = loose_version(text)
                if at is not None and (now is None or at > now):
                    found.append((at, text))
    return min(found)[1] if found else ""


def _places(record: Record) -> list[Record]:
    return [*_entries(record.get("affected"))]


def _entries(value: object) -> Iterator[Record]:
    yield from (
        entry for entry in (value if isinstance(value, list) else ()) if isinstance(entry, dict)
    )


def _mapping(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _normal(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()
