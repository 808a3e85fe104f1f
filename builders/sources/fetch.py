"""Have a pinned source's bytes in the cache, whatever it takes; never anybody else's bytes."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.sources.client import FailureKind, MirrorError
from builders.sources.download import PartialFile
from builders.sources.entry import seconds_of
from builders.sources.mirrors import Mirrors
from builders.sources.transports import from_file
from core.errors import SourceError, StorageError
from core.kinds import EntryKind
from core.progress import Progress
from core.retry import ClientOptions
from recipes.model import Source

if TYPE_CHECKING:
    from builders.sources.shared import AnyCache


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A source that is here, or in the store that the cache has behind it."""

    path: Path
    """Read-only and verified. While only the store has it, it is where it will be."""
    url: str
    """Where the bytes came from, now or when they were fetched; empty if nobody remembers."""
    seconds: float
    """How long that took; 0 if nobody remembers."""
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What became of one mirror. Holds no password."""

    url: str
    kind: FailureKind
    reason: str


class _Missing(SourceError):
    """A source could not be had; ``failures`` are those of the mirrors that were asked."""

    def __init__(self, what: str, failures: Sequence[Failure], *, why: str, next: str) -> None:
        super().__init__("\n".join([what, *map(_line, failures)]), why=why, next=next)
        self.failures = failures
        self.gone = all(failure.kind is FailureKind.GONE for failure in failures)
        """An older release may be tried instead, loudly."""


class Unavailable(_Missing):
    """No mirror had the source."""

    def __init__(self, source: Source, failures: Sequence[Failure]) -> None:
        why = "a mirror serves other bytes than were pinned: a mistake there, or an attack"
        if not failures:
            why = (
                "its only mirror is Debian's pool, and apt names no Debian archive on this machine"
            )
        elif all(failure.kind is FailureKind.GONE for failure in failures):
            why = "the machine has no way out, or upstream moved the file"
        super().__init__(
            f"No mirror has {source.filename} ({source.name} {source.version}).",
            failures,
            why=why,
            next="name a mirror that has it in FROMSCRATCH_MIRRORS (file:///directory works), or run "
            "'inv fetch' where the network is better and then build with --offline",
        )


class NotCached(_Missing):
    """The source is not in the cache, and the network may not be asked."""

    def __init__(self, source: Source, failures: Sequence[Failure]) -> None:
        super().__init__(
            f"{source.filename} ({source.name} {source.version}) is not in the cache.",
            failures,
            why="--offline, and it was never fetched on this machine",
            next="run 'inv fetch' with a network, or name a directory that has it: "
            "FROMSCRATCH_MIRRORS=file:///directory",
        )


def fetch(
    source: Source,
    cache: "AnyCache",
    mirrors: Mirrors,
    *,
    offline: bool = False,
    options: ClientOptions | None = None,
    progress: Progress | None = None,
    lazy: bool = False,
) -> Fetched:
    """Return ``source`` from the cache, or from the first mirror that has exactly its bytes.

    ``lazy``: what a store says that it has stays there; a step that needs it gets it. Runs that want the same source at
    once share one download. ``offline`` asks only the cache and ``file://`` mirrors.
    Raises Unavailable, NotCached, or StorageError.
    """
    if (hit := _hit(source, cache, lazy=lazy)) is not None:
        return hit
    options = options or ClientOptions()
    progress = progress or Progress()
    busy = f"{source.filename}: another run is fetching it; waiting"
    name = f"fetch-{source.sha256}"
    with cache.lock(name, waiting=lambda: progress.note(busy), cancel=options.cancel):
        if (hit := _hit(source, cache)) is not None:
            return hit
        try:
            return _first(
                source, cache, mirrors, offline=offline, options=options, progress=progress
            )
        except StorageError:
            # Gives back the space that there was not enough of.
            with contextlib.suppress(StorageError):
                PartialFile(path=cache.part(source.sha256)).discard()
            raise
        finally:
            progress.finished()


def _hit(source: Source, cache: "AnyCache", *, lazy: bool = False) -> Fetched | None:
    if lazy and cache.local is not cache and not cache.local.has(source.sha256):
        url, seconds = origin_of(source, cache)
        if cache.has(source.sha256):
            place = cache.local.place(source.sha256)
            return Fetched(path=place, url=url, seconds=seconds, cached=True)
        return None
    path = cache.blob(source.sha256)
    if path is None:
        return None
    url, seconds = origin_of(source, cache)
    return Fetched(path=path, url=url, seconds=seconds, cached=True)


def origin_of(source: Source, cache: "AnyCache") -> tuple[str, float]:
    """Return the URL that a source came from, and the seconds that took; '' and 0 when nobody remembers.

    Its bytes may be gone by now.
    """
    origin = cache.get_action(_origin(source), kind=EntryKind.ORIGIN) or {}
    return str(origin.get("url", "")), seconds_of(origin, 0.0)


def _first(
    source: Source,
    cache: "AnyCache",
    mirrors: Mirrors,
    *,
    offline: bool,
    options: ClientOptions,
    progress: Progress,
) -> Fetched:
    began = options.monotonic()
    failures = []
    for mirror in mirrors.of(source):
        if offline and mirror.transport is not from_file:
            continue
        try:
            path = mirror.transport(mirror.url, mirror.redacted, source, cache, options, progress)
        except MirrorError as error:
            failure = Failure(url=mirror.redacted, kind=error.kind, reason=error.reason)
            failures.append(failure)
            progress.note(_line(failure).strip())
            continue
        seconds = round(options.monotonic() - began, 3)
        cache.put_action(
            _origin(source), {"url": mirror.redacted, "seconds": seconds}, kind=EntryKind.ORIGIN
        )
        return Fetched(path=path, url=mirror.redacted, seconds=seconds, cached=False)
    raise (NotCached if offline else Unavailable)(source, failures)


def _origin(source: Source) -> str:
    return f"origin-{source.sha256}"


def _line(failure: Failure) -> str:
    reason = failure.reason.replace("\n", "\n    ")
    return f"    {failure.url}: {reason}"
