"""`inv fetch`: sources into the cache."""

from collections.abc import Sequence
from dataclasses import dataclass

from builders.plan import needed_recipes
from console.table import table
from flow.context import Context
from flow.fetch import fetch_sources, select


@dataclass(frozen=True, kw_only=True)
class CachedSource:
    """A source that is in the cache, and the URL that it came from."""

    name: str
    version: str
    size: int
    sha256: str
    url: str


def fetch_all(context: Context, names: Sequence[str]) -> list[CachedSource]:
    """Fetch the sources of the products called ``names``, or of every recipe."""
    products, pins = select(context.recipes, names)
    recipes = needed_recipes(products, context.recipes) if names else context.recipes.values()
    return [
        CachedSource(
            name=name,
            version=release.version,
            size=release.source.size,
            sha256=release.source.sha256,
            url=fetched.url,
        )
        for name, (release, fetched) in sorted(fetch_sources(context, recipes, pins).items())
        if release.source
    ]


def source_table(sources: Sequence[CachedSource]) -> str:
    """Return one line per source."""
    rows = [
        (source.name, source.version, f"{source.size:,}", source.sha256[:16], source.url)
        for source in sources
    ]
    return table(("source", "version", "bytes", "sha256", "from"), rows)
