"""Which products and releases are meant, and their sources in the cache: the newest that can be had."""

from collections.abc import Iterable, Mapping, Sequence

from builders.sources.fetch import Fetched, NotCached, Unavailable, fetch
from builders.timings import EventKind
from core.errors import UsageError
from core.progress import CancellableProgress
from core.retry import ClientOptions
from core.threads import in_threads
from flow.context import Context
from recipes.load import find_product, list_products
from recipes.model import Product, Recipe, Release, Source

Sources = Mapping[str, tuple[Release, Fetched]]
"""Each recipe's release, and its source in the cache."""


def select(
    recipes: Mapping[str, Recipe], names: Sequence[str]
) -> tuple[list[Product], dict[str, str]]:
    """Return the products called ``names`` and the versions they pin. Raises UsageError."""
    if not names:
        return [product for product in list_products(recipes) if product.variant.default], {}
    products: list[Product] = []
    pins: dict[str, str] = {}
    for word in names:
        name, _, version = word.partition("@")
        product = find_product(name, recipes)
        recipe = product.recipe
        if version:
            if recipe.release(version) is None:
                msg = f"{recipe.name} {version} is not pinned."
                pinned = ", ".join(release.version for release in recipe.releases)
                raise UsageError(msg, next=f"choose one of: {pinned}")
            if pins.setdefault(recipe.name, version) != version:
                msg = f"{recipe.name} is asked for in two versions at once."
                raise UsageError(msg, next="build them one after the other")
        if product not in products:
            products.append(product)
    return products, pins


def fetch_sources(
    context: Context,
    recipes: Iterable[Recipe],
    pins: Mapping[str, str] | None = None,
    *,
    exact: bool = False,
    lazy: bool = False,
) -> Sources:
    """Return a release of each recipe whose source is in the cache now, the newest that can be had.

    ``pins`` are versions by the recipe's name; ``exact`` allows only those, and the newest of the others.
    ``lazy``: what a store has stays there for now.
    """
    recipes = list(recipes)
    found = in_threads(
        lambda recipe: _fetch(
            context, recipe, (pins or {}).get(recipe.name), exact=exact, lazy=lazy
        ),
        recipes,
        jobs=max(4, context.cache.width),
        name="fetch",
        cancel=context.cancel,
    )
    return dict(zip([recipe.name for recipe in recipes], found, strict=True))


def fetch_source(context: Context, source: Source, *, lazy: bool = False) -> Fetched:
    """Have one source in the cache. Raises what `builders.sources.fetch.fetch` raises."""
    progress = CancellableProgress(context.report.progress("fetch"), context.cancel)
    return fetch(
        source,
        context.cache,
        context.mirrors,
        offline=context.settings.flag("offline"),
        options=ClientOptions(sleep=progress.sleep, cancel=context.cancel),
        progress=progress,
        lazy=lazy,
    )


def _fetch(
    context: Context, recipe: Recipe, pin: str | None, *, exact: bool, lazy: bool
) -> tuple[Release, Fetched]:
    candidates = [release for release in recipe.releases if pin in {None, release.version}]
    if recipe.local:
        return candidates[0], Fetched(path=recipe.local, url="", seconds=0.0, cached=True)
    for release, older in zip(candidates, [*candidates[1:], None], strict=True):
        try:
            with context.timings.measure(
                f"{recipe.name} {release.version}", EventKind.FETCH
            ) as facts:
                fetched = fetch_source(context, release.archive, lazy=lazy)
                facts |= {"cached": fetched.cached, "url": fetched.url}
                facts |= {"key": release.archive.sha256, "size": release.archive.size}
        except (Unavailable, NotCached) as error:
            if exact or not error.gone or older is None:
                raise
            context.report.warn(f"{error.what}\n  BUILDING {older.version} INSTEAD.")
        else:
            if release is not candidates[0]:
                context.report.warn(
                    f"{recipe.name} {release.version} is used, not {candidates[0].version} "
                    "(--exact forbids that)"
                )
            return release, fetched
    msg = f"{recipe.name} has no release '{pin}'."
    raise UsageError(msg)
