"""Have a pinned source's bytes in the cache, whatever it takes; never anybody else's bytes."""

import contextlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from urllib.parse import unquote, urlsplit

from builders.sources.cache import Cache, WrongBytesError
from builders.sources.client import Client, Refused, Trouble
from builders.sources.download import Part, download
from builders.sources.mirrors import Mirror, Mirrors, Transport
from builders.sources.pypi import pip_download
from core.errors import SourceError, StorageError
from core.progress import NullProgress, Progress
from recipes.model import Source


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A source that is here. ``path`` is read-only and verified."""

    path: Path
    url: str
    """Where the bytes came from, now or when they were fetched; empty if nobody remembers."""
    seconds: float
    """How long that took; 0 if nobody remembers."""
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What became of one mirror. Holds no password."""

    url: str
    trouble: Trouble
    reason: str


class _WrongBytes(Refused):
    """A whole file came, and it is not what was pinned."""


class Unavailable(SourceError):
    """No mirror had the source. ``gone``: an older release may be tried instead, loudly."""

    def __init__(self, source: Source, failures: tuple[Failure, ...]) -> None:
        self.source = source
        self.failures = failures
        self.gone = all(failure.trouble is Trouble.GONE for failure in failures)
        what = f"No mirror has {source.filename} ({source.name} {source.version})."
        why = "the machine has no way out, or upstream moved the file"
        if not failures:
            why = "its only home is Debian's pool, and apt names no Debian archive on this machine"
        elif not self.gone:
            why = "a mirror serves other bytes than were pinned: a mistake there, or an attack"
        super().__init__(
            "\n".join([what, *map(_line, failures)]),
            why=why,
            next="name a mirror that has it in FROMSCRATCH_MIRRORS (file:///directory works), or run "
            "'inv fetch' where the network is better and then build with --offline",
        )


class NotCached(SourceError):
    """The source is not in the cache, and the network may not be asked."""

    def __init__(self, source: Source, failures: tuple[Failure, ...]) -> None:
        self.source = source
        self.failures = failures
        what = f"{source.filename} ({source.name} {source.version}) is not in the cache."
        super().__init__(
            "\n".join([what, *map(_line, failures)]),
            why="--offline, and it was never fetched on this machine",
            next="run 'inv fetch' with a network, or name a directory that has it: "
            "FROMSCRATCH_MIRRORS=file:///directory",
        )


def fetch(
    source: Source,
    cache: Cache,
    mirrors: Mirrors,
    *,
    offline: bool = False,
    client: Client | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Return ``source`` from the cache, or from the first mirror that has exactly its bytes.

    Runs that want the same source at once share one download. ``offline`` asks only the cache and
    ``file://`` mirrors. Raises Unavailable, NotCached, or StorageError.
    """
    if (hit := _hit(source, cache)) is not None:
        return hit
    client = client or Client()
    progress = progress or NullProgress()
    filename = source.filename

    def waiting() -> None:
        progress.note(f"{filename}: another run is fetching it; waiting")

    with cache.lock(f"fetch-{source.sha256}", waiting=waiting):
        if (hit := _hit(source, cache)) is not None:
            return hit
        try:
            return _first(source, cache, mirrors, offline=offline, client=client, progress=progress)
        except StorageError:
            # Gives back the room that there was not enough of.
            with contextlib.suppress(StorageError):
                Part(path=cache.part(source.sha256)).discard()
            raise
        finally:
            progress.finished()


def _hit(source: Source, cache: Cache) -> Fetched | None:
    path = cache.blob(source.sha256)
    if path is None:
        return None
    origin = cache.get_action(_origin(source)) or {}
    url, seconds = str(origin.get("url", "")), float(origin.get("seconds", 0.0))
    return Fetched(path=path, url=url, seconds=seconds, cached=True)


def _first(
    source: Source,
    cache: Cache,
    mirrors: Mirrors,
    *,
    offline: bool,
    client: Client,
    progress: Progress,
) -> Fetched:
    began = client.monotonic()
    failures = []
    for mirror in mirrors.of(source):
        if offline and mirror.transport is not Transport.FILE:
            continue
        try:
            path = _obtain(mirror, source, cache, client=client, progress=progress)
        except Refused as refused:
            failure = Failure(url=mirror.shown, trouble=refused.trouble, reason=refused.reason)
            failures.append(failure)
            progress.note(_line(failure).strip())
            continue
        seconds = round(client.monotonic() - began, 3)
        cache.put_action(_origin(source), {"url": mirror.shown, "seconds": seconds})
        return Fetched(path=path, url=mirror.shown, seconds=seconds, cached=False)
    if offline:
        raise NotCached(source, tuple(failures))
    raise Unavailable(source, tuple(failures))


def _obtain(
    mirror: Mirror, source: Source, cache: Cache, *, client: Client, progress: Progress
) -> Path:
    """Bring the bytes of one mirror into the cache; raises Refused when they are not to be had."""
    match mirror.transport:
        case Transport.HTTP:
            return _over_http(mirror, source, cache, client=client, progress=progress)
        case Transport.FILE:
            progress.started(source.filename, source.size, mirror.shown)
            path = _store(_local(mirror.url), source, cache, move=False)
            progress.advanced(source.size)
            return path
        case Transport.PIP:
            progress.started(source.filename, source.size, mirror.shown)
            with cache.scratch() as directory:
                requirement = mirror.url.removeprefix("pip:")
                file = pip_download(requirement, source, directory, client=client)
                path = _store(file, source, cache, move=True)
            progress.advanced(source.size)
            return path
        case _:
            assert_never(mirror.transport)


def _over_http(
    mirror: Mirror, source: Source, cache: Cache, *, client: Client, progress: Progress
) -> Path:
    part = Part(path=cache.part(source.sha256))
    if part.came_from(mirror.url) and part.size:
        # What ended the earlier run may have damaged its bytes too: a power cut leaves zeros.
        # So wrong bytes that are partly its own do not yet mean that the mirror lied.
        with contextlib.suppress(_WrongBytes):
            if part.size < source.size:
                download(mirror.url, mirror.shown, source, part, client=client, progress=progress)
            return _take(part, source, cache)
        progress.note(f"{mirror.shown}: what an earlier run left is damaged; starting from zero")
    download(mirror.url, mirror.shown, source, part, client=client, progress=progress)
    return _take(part, source, cache)


def _take(part: Part, source: Source, cache: Cache) -> Path:
    try:
        return _store(part.data, source, cache, move=True)
    finally:
        part.discard()


def _store(file: Path, source: Source, cache: Cache, *, move: bool) -> Path:
    size = file.stat().st_size
    if size != source.size:
        msg = f"has {size} bytes where {source.size} were pinned"
        raise _WrongBytes(msg, trouble=Trouble.WRONG)
    try:
        cache.put_file(file, move=move, expect=source.sha256)
    except WrongBytesError as error:
        msg = f"wrong bytes\n  expected sha256 {error.expected}\n  actual sha256   {error.actual}"
        raise _WrongBytes(msg, trouble=Trouble.WRONG) from error
    path = cache.blob(source.sha256)
    if path is None:
        msg = f"'{source.sha256}' vanished from the cache while it was being stored."
        raise StorageError(msg, why="another run pruned the cache", next="run the command again")
    return path


def _local(url: str) -> Path:
    """Return the regular file that a ``file://`` URL names."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute():
        msg = "is not of the form file:///absolute/path"
        raise Refused(msg)
    try:
        state = path.stat()
    except OSError as error:
        msg = f"{error.strerror or error}"
        raise Refused(msg) from error
    # A fifo or a device would be read forever.
    if not stat.S_ISREG(state.st_mode):
        msg = "is not a regular file"
        raise Refused(msg)
    return path


def _origin(source: Source) -> str:
    return f"origin-{source.sha256}"


def _line(failure: Failure) -> str:
    reason = failure.reason.replace("\n", "\n    ")
    return f"    {failure.url}: {reason}"
