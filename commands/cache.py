"""`inv cache`: list, verify, prune and mirror."""

from collections.abc import Sequence
from pathlib import Path

from builders.sources.mirror import mirror
from core.errors import UsageError
from flow.context import Context
from flow.fetch import fetch_sources

DAY = 86400


def manage_cache(context: Context, words: Sequence[str], *, older: str) -> list[str]:
    """Do what ``cache WORD`` says; return what to print."""
    cache = context.cache
    match list(words):
        case ["list"]:
            entries = cache.entries()
            total = sum(entry.size for entry in entries)
            lines = [f"{entry.kind.value:6} {entry.name} {entry.size:>12,}" for entry in entries]
            return [*lines, f"{len(entries)} entries, {total:,} bytes in {cache.root}"]
        case ["verify"]:
            damaged = cache.verify()
            lines = [
                f"removed {entry.kind.value} {entry.name}: {entry.reason}" for entry in damaged
            ]
            return [*lines, f"{len(damaged)} damaged entries; the next build makes them again"]
        case ["prune"]:
            if not older.isdecimal():
                msg = f"--older takes a number of days, not '{older}'."
                raise UsageError(msg)
            pruned = cache.prune(max_age=int(older) * DAY)
            return [f"removed {pruned.entries} entries, {pruned.size:,} bytes"]
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
