"""Debian's pool beyond its indexes: what lies in a package's directory. Nobody vouches for a listing, nor for a file
that was found by one: only upstream's signature does."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from builders.sources.client import MirrorError
from builders.sources.discover import links
from builders.sources.http_get import LISTING_MAX, read_page, save_page
from builders.sources.versions import pattern
from core.progress import Progress
from core.retry import ClientOptions


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The pools of some mirrors. ``bases`` is called when it comes to that."""

    bases: Callable[[], tuple[str, ...]]
    options: ClientOptions

    def versions(self, path: str, pinned: str) -> set[str]:
        """Return what looks like versions of the file ``path``, which is of the version ``pinned``, in its directory.

        Raises MirrorError when no mirror shows its directories.
        """
        directory, _, name = path.rpartition("/")
        shape = pattern(name, pinned)
        if shape is None:
            msg = f"{name} is not called after {pinned}"
            raise MirrorError(msg)
        reasons, found = [], set()
        for base in self.bases():
            try:
                names = self._names(_join(base, f"{directory}/"))
            except MirrorError as error:
                reasons.append(error.reason)
            else:
                found |= {match[1] for name in names if (match := shape.fullmatch(name))}
        if not found:
            reason = "; ".join(dict.fromkeys(reasons)) or "no mirror"
            msg = f"no listing of {directory}/ ({reason})"
            raise MirrorError(msg)
        return found

    def save(self, path: str, file: Path, *, limit: int, progress: Progress) -> None:
        """Write the pool's ``path`` into ``file``, whatever its bytes are. Raises MirrorError, as for more than
        ``limit`` bytes."""
        reasons = []
        for base in self.bases():
            url = _join(base, path)
            try:
                if local := _local(url):
                    _copy(local, file, limit)
                else:
                    with file.open("wb") as opened:
                        save_page(
                            url,
                            opened,
                            limit=limit,
                            options=self.options,
                            progress=progress,
                            label=url.rpartition("/")[2],
                        )
            except MirrorError as error:
                reasons.append(error.reason)
            else:
                return
        msg = f"{path} is not in Debian's pool ({'; '.join(dict.fromkeys(reasons)) or 'no mirror'})"
        raise MirrorError(msg)

    def _names(self, url: str) -> list[str]:
        if local := _local(url):
            try:
                return [entry.name for entry in local.iterdir()]
            except OSError as error:
                raise MirrorError(error.strerror or str(error)) from error
        text = read_page(url, limit=LISTING_MAX, options=self.options).decode("utf-8", "replace")
        return [link.rpartition("/")[2] for link in links(text)]


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{quote(path, safe='/~+')}"


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _copy(path: Path, file: Path, limit: int) -> None:
    if not path.is_file():
        msg = "no such file"
        raise MirrorError(msg)
    if path.stat().st_size > limit:
        msg = f"has more than {limit} bytes"
        raise MirrorError(msg)
    shutil.copyfile(path, file)
