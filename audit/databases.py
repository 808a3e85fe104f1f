"""Where it is known: OSV, Debian's security tracker and curl's own list, over the network or from files."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audit import debian, osv
from audit.advisory import Advisory
from audit.subject import Subject
from builders.sources.client import MirrorClient, MirrorError
from builders.sources.http_get import read_page
from core.errors import SourceError, UsageError
from core.retry import ClientOptions

OSV = "https://api.osv.dev"
TRACKER = "https://security-tracker.debian.org/tracker/data/json"
CURL = "https://curl.se/docs/vuln.json"
LARGEST = 512 << 20
"""Bytes of a database: Debian's has 70 MB."""
ANSWER_MAX = 64 << 20
PAGES = 50
"""Of one answer of OSV's."""
PROGRAM = "curl"
"""Whose list curl's is."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """One of them. ``ask`` raises MirrorError when it cannot be had; ``knows`` says whom it could name."""

    name: str
    knows: Callable[[Subject], bool]
    ask: Callable[[Sequence[Subject]], list[Advisory]]


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """What was asked, and what was answered."""

    subjects: tuple[Subject, ...]
    advisories: tuple[Advisory, ...]
    asked: tuple[str, ...]
    """The databases that answered."""
    failed: dict[str, str] = field(default_factory=dict)
    """Those that did not, with the reason."""
    unknown: tuple[Subject, ...] = ()
    """Whom no database that answered could name."""


def look_up(databases: Iterable[Database], subjects: Sequence[Subject]) -> LookUp:
    """Ask every database about the subjects that it could know; one that fails does not end it."""
    found: list[Advisory] = []
    asked, failed, known = list[str](), dict[str, str](), set[str]()
    for database in databases:
        theirs = [subject for subject in subjects if database.knows(subject)]
        if not theirs:
            continue
        try:
            found += database.ask(theirs)
        except MirrorError as error:
            failed[database.name] = error.reason
        else:
            asked.append(database.name)
            known |= {subject.slug for subject in theirs}
    unknown = (it for it in subjects if it.slug not in known and not it.ours)
    return LookUp(
        subjects=tuple(subjects),
        advisories=tuple(found),
        asked=tuple(asked),
        failed=failed,
        unknown=tuple(unknown),
    )


def over_network(
    options: ClientOptions, *, osv_api: str = OSV, tracker: str = TRACKER, curl: str = CURL
) -> tuple[Database, ...]:
    """Return the three, as they are on the web."""

    def ask_osv(subjects: Sequence[Subject]) -> list[Advisory]:
        return [it for subject in subjects for it in _query(osv_api, subject, options)]

    def ask_tracker(subjects: Sequence[Subject]) -> list[Advisory]:
        data = read_page(tracker, limit=LARGEST, options=options)
        return list(debian.advisories(_tracker(_parsed(data, tracker), tracker), subjects))

    def ask_curl(subjects: Sequence[Subject]) -> list[Advisory]:
        records = _records(_parsed(read_page(curl, limit=LARGEST, options=options), curl), curl)
        return list(osv.advisories(records, subjects, "curl's list"))

    return (
        Database(name="OSV", knows=_in_osv, ask=ask_osv),
        Database(name=debian.SOURCE, knows=lambda it: bool(it.debian), ask=ask_tracker),
        Database(name="curl's list", knows=lambda it: it.name == PROGRAM, ask=ask_curl),
    )


def from_file(path: Path) -> Database:
    """Return a downloaded database: OSV's export (``.zip``, or JSON of one record, a list, or one a line), curl's list,
    or Debian's tracker. Raises UsageError for a file that is none, SourceError for one that cannot be read."""
    try:
        if zipfile.is_zipfile(path):
            return _of_records(path, _some(_in_zip(path), path))
        if path.stat().st_size > LARGEST:
            msg = f"{path} has more than {LARGEST} bytes."
            raise UsageError(msg, next="name a database")
        data = path.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise SourceError(msg, next="check the path, or download the database again") from error
    try:
        value = _parsed(data, path.name)
    except MirrorError:
        value = _lines(data)
    try:
        if isinstance(value, dict) and not {"id", "vulns", "affected"} & value.keys():
            tracker = _tracker(value, path.name)
            return Database(
                name=f"{path.name} ({debian.SOURCE})",
                knows=lambda it: bool(it.debian),
                ask=lambda subjects: list(debian.advisories(tracker, subjects)),
            )
        return _of_records(path, _some(_records(value, path.name), path))
    except MirrorError as error:
        raise _no_database(path, error.reason) from error


def _some(records: Iterable[osv.Record], path: Path) -> list[osv.Record]:
    """Records; none at all are no word that all is well. Raises UsageError."""
    found = list(records)
    if not found:
        raise _no_database(path, "it holds no record")
    return found


def _no_database(path: Path, reason: str) -> UsageError:
    msg = f"{path} is no database of vulnerabilities: {reason}."
    return UsageError(msg, next=f"name a file of {CURL}, of {TRACKER}, or of OSV's exports")


def _of_records(path: Path, records: list[osv.Record]) -> Database:
    ecosystems, packages = set[str](), set[str]()
    for record in records:
        for place in record.get("affected") or ():
            if isinstance(place, dict) and isinstance(place.get("package"), dict):
                ecosystems.add(str(place["package"].get("ecosystem", "")).partition(":")[0])
        own = record.get("database_specific")
        if isinstance(own, dict) and isinstance(own.get("package"), str):
            packages.add(own["package"])
    repositories = bool({"GIT", "OSS-Fuzz"} & ecosystems) or any(
        _has_repository(record) for record in records
    )
    only = packages == {PROGRAM} and not ecosystems - {"", "GIT"}

    def knows(subject: Subject) -> bool:
        if only:
            return subject.name == PROGRAM
        return bool(
            (subject.pypi and "PyPI" in ecosystems)
            or (subject.repository and repositories)
            or subject.name in packages
        )

    return Database(
        name=path.name,
        knows=knows,
        ask=lambda subjects: list(osv.advisories(records, subjects, path.name)),
    )


def _has_repository(record: osv.Record) -> bool:
    return any(
        isinstance(entry, dict) and entry.get("repo")
        for place in record.get("affected") or ()
        if isinstance(place, dict)
        for entry in place.get("ranges") or ()
    )


def _in_osv(subject: Subject) -> bool:
    return bool(subject.pypi or subject.repository)


def _query(api: str, subject: Subject, options: ClientOptions) -> Iterator[Advisory]:
    """https://google.github.io/osv.dev/post-v1-query/: it compares versions and tags itself."""
    package: dict[str, str] = (
        {"ecosystem": "PyPI", "name": subject.pypi}
        if subject.pypi
        else {"ecosystem": "GIT", "name": f"https://{subject.repository}.git"}
    )
    query: dict[str, Any] = {"package": package, "version": subject.tag or subject.version}
    for _ in range(PAGES):
        answer = _parsed(_post(f"{api}/v1/query", query, options), api)
        if not isinstance(answer, dict):
            msg = f"{api} answers with something else"
            raise MirrorError(msg)
        for record in _records(answer.get("vulns") or [], api):
            if not record.get("withdrawn"):
                yield osv.advisory_of(record, subject, "OSV")
        token = answer.get("next_page_token")
        if not token:
            return
        query["page_token"] = token
    msg = f"{api} has no end of pages for {subject.name}"
    raise MirrorError(msg)


def _post(url: str, body: Mapping[str, Any], options: ClientOptions) -> bytes:
    data = json.dumps(body).encode()
    with MirrorClient(options, name=url) as client:

        def attempt(_: int) -> bytes:
            headers = {"Content-Type": "application/json"}
            with client.open("POST", url, headers=headers, body=data) as response:
                if response.status != HTTPStatus.OK:
                    raise MirrorError(str(response))
                return response.read(ANSWER_MAX).content

        return client.with_retries(attempt)


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_slim)
    except (ValueError, RecursionError) as error:
        msg = f"{where} is no JSON"
        raise MirrorError(msg) from error


def _slim(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What nobody asks about is dropped at once: it is most of the bytes."""
    return {key: value for key, value in pairs if key not in {"details", "references", "credits"}}


def _lines(data: bytes) -> list[Any]:
    """One record a line."""
    found = []
    for line in data.splitlines():
        if line.strip():
            try:
                found.append(json.loads(line, object_pairs_hook=_slim))
            except (ValueError, RecursionError):
                return []
    return found


def _records(value: object, where: str) -> Iterator[osv.Record]:
    if isinstance(value, dict):
        value = value.get("vulns", [value])
    entries = value if isinstance(value, list) else None
    if entries is None or not all(isinstance(it, dict) and "id" in it for it in entries):
        msg = f"{where} has no records of OSV's format"
        raise MirrorError(msg)
    yield from entries


def _tracker(value: object, where: str) -> debian.Tracker:
    if not isinstance(value, dict) or not value or not all(map(_is_package, value.values())):
        msg = f"{where} is not as Debian's tracker is"
        raise MirrorError(msg)
    return value


def _is_package(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, dict) and "releases" in entry for entry in value.values()
    )


def _in_zip(path: Path) -> Iterator[osv.Record]:
    """OSV's ``all.zip`` of an ecosystem: a file for each record."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            total += member.file_size
            if total > LARGEST:
                msg = f"{path} unpacks to more than {LARGEST} bytes."
                raise UsageError(msg, next="name the export of one ecosystem")
            if member.filename.endswith(".json"):
                with archive.open(member) as file:
                    try:
                        value = _parsed(file.read(member.file_size + 1), member.filename)
                        yield from _records(value, member.filename)
                    except MirrorError as error:
                        raise _no_database(path, error.reason) from error
