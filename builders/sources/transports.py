"""How a mirror's bytes come into the cache: one function for each way, called by the scheme of the mirror's URL.

Each raises MirrorError when the bytes are not to be had, StorageError when the disk is not.
"""

import contextlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from builders.sources.cache import WrongBytesError
from builders.sources.client import FailureKind, MirrorError
from builders.sources.download import PartialFile, download
from builders.sources.pypi import pip_download
from core.errors import StorageError
from core.progress import Progress
from core.retry import ClientOptions
from recipes.model import Source

if TYPE_CHECKING:
    from builders.sources.shared import AnyCache

Transport = Callable[[str, str, Source, "AnyCache", ClientOptions, Progress], Path]
"""A mirror's URL, what it is called in messages, and what is wanted to the file in the cache."""


def over_http(
    url: str,
    label: str,
    source: Source,
    cache: "AnyCache",
    options: ClientOptions,
    progress: Progress,
) -> Path:
    """``http://`` and ``https://``."""
    part = PartialFile(path=cache.part(source.sha256))
    if part.came_from(url) and part.size:
        # What ended the earlier run may have damaged its bytes too: a power cut leaves zeros.
        # So wrong bytes that are partly its own do not yet mean that the mirror lied.
        if part.size < source.size:
            download(url, label, source, part, options=options, progress=progress)
        with contextlib.suppress(MirrorError):
            return _take(part, source, cache)
        progress.note(f"{label}: what an earlier run left is damaged; starting from zero")
    download(url, label, source, part, options=options, progress=progress)
    return _take(part, source, cache)


def from_file(
    url: str, label: str, source: Source, cache: "AnyCache", _: ClientOptions, progress: Progress
) -> Path:
    """``file:///directory``."""
    progress.started(source.filename, source.size, label)
    path = _store(_local(url), source, cache, move=False)
    progress.advanced(source.size)
    return path


def over_pip(
    url: str,
    label: str,
    source: Source,
    cache: "AnyCache",
    options: ClientOptions,
    progress: Progress,
) -> Path:
    """``pip:name==version``."""
    progress.started(source.filename, source.size, label)
    with cache.scratch() as directory:
        file = pip_download(url.removeprefix("pip:"), source, directory, options=options)
        path = _store(file, source, cache, move=True)
    progress.advanced(source.size)
    return path


def _take(part: PartialFile, source: Source, cache: "AnyCache") -> Path:
    try:
        return _store(part.data, source, cache, move=True)
    finally:
        part.discard()


def _store(file: Path, source: Source, cache: "AnyCache", *, move: bool) -> Path:
    size = file.stat().st_size
    if size != source.size:
        msg = f"has {size} bytes where {source.size} were pinned"
        raise MirrorError(msg, kind=FailureKind.WRONG)
    try:
        cache.put_file(file, move=move, expect=source.sha256)
    except WrongBytesError as error:
        msg = f"wrong bytes\n  expected sha256 {error.expected}\n  actual sha256   {error.actual}"
        raise MirrorError(msg, kind=FailureKind.WRONG) from error
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
        raise MirrorError(msg)
    try:
        state = path.stat()
    except OSError as error:
        msg = f"{error.strerror or error}"
        raise MirrorError(msg) from error
    # A fifo or a device would be read forever.
    if not stat.S_ISREG(state.st_mode):
        msg = "is not a regular file"
        raise MirrorError(msg)
    return path
