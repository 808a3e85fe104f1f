"""`inv cache`: list, verify, prune and mirror."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from builders.outcome import agrees
from builders.sources.cache import Remedy
from builders.sources.mirror import mirror
from core.errors import UsageError
from flow.context import Context
from flow.fetch import fetch_sources

DAY = 86400


def manage_cache(context: Context, words: Sequence[str], *, older: str) -> list[str]:
    """Do what ``cache WORD`` says; return what to print."""
    cache = context.local
    match list(words):
        case ["list"]:
            entries = cache.entries()
            total = sum(entry.size for entry in entries)
            lines = [f"{e.kind.value:7} {_shown(e.name)} {e.size:>12,}" for e in entries]
            lines += [f"{len(entries)} entries, {total:,} bytes in {cache.root}"]
            sizes = {path.name: size_of(path) for path in sorted(cache.root.glob("*"))}
            return lines + [f"{size:>16,} bytes in {_shown(name)}/" for name, size in sizes.items()]
        case ["verify"]:
            found = cache.verify(check=partial(agrees, cache))
            lines = [f"{e.done} {e.kind} {_shown(e.name)}: {e.reason}" for e in found]
            damaged = sum(entry.done is Remedy.REMOVED for entry in found)
            return [*lines, f"{damaged} damaged entries; the next build makes them again"]
        case ["prune"]:
            if not older.isdecimal():
                msg = f"--older takes a number of days, not '{older}'."
                raise UsageError(msg)
            pruned = cache.prune(max_age=int(older) * DAY)
            swept = [f"removed {path}" for path in context.sweep()]
            return [*swept, f"removed {pruned.entries} entries, {pruned.size:,} bytes"]
        case ["mirror", name]:
            directory = Path(name)
            sources = fetch_sources(context, context.recipes.values()).values()
            paths = {release.source: fetched.path for release, fetched in sources if release.source}
            done = mirror(paths, directory, get=lambda source: paths[source])
            url = f"file://{directory.absolute()}"
            return [
                f"{done.files} files, {done.size:,} bytes",
                f"use it with: FROMSCRATCH_MIRRORS={url}",
            ]
        case _:
            msg = f"'cache {' '.join(words)}' is no command."
            raise UsageError(msg, next="cache list | verify | prune [--older DAYS] | mirror DIR")


def size_of(top: Path) -> int:
    """Return the bytes of all files below a directory, as far as it can be read."""
    total = 0
    for directory, _, names in os.walk(top):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - 10,000 times
            except OSError:
                continue
    return total


def _shown(name: str) -> str:
    """A name as it can be printed: anything can lie in a cache."""
    return name if name.isprintable() else ascii(name)
