"""Products that had another name before: each recipe's ``[[renamed]]``, by the name that a user still has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recipes.model import Product, Recipe


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """What became of a name."""

    old: str
    """``curl:full``"""
    new: str
    """``curl:h2``: what the old name meant."""
    until: str
    """The release of this project that says nothing of it any more."""
    taken: str = ""
    """What the old name means now, in the words of that product's recipe; empty: nothing but the new one."""


def renames(recipes: Mapping[str, Recipe]) -> Iterator[Renamed]:
    """Every name that changed, in the order of the recipes."""
    for recipe in recipes.values():
        variants = {variant.name: variant for variant in recipe.variants}
        for rename in recipe.renamed:
            new = Product(recipe=recipe, variant=variants[rename.now])
            other = variants.get(rename.was)
            yield Renamed(
                old=f"{recipe.name}:{rename.was}",
                new=new.name,
                until=rename.until,
                taken=other.summary if other else "",
            )


def find_renamed(name: str, recipes: Mapping[str, Recipe]) -> Renamed | None:
    """Return what became of the product that was called ``name``; None when no product was."""
    return next((renamed for renamed in renames(recipes) if renamed.old == name), None)
