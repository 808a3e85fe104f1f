"""What is embedded is in the file, whatever made it."""

from pathlib import Path

import pytest

from publish.trust.components import Role, Wheel, linked
from recipes.load import find_product, list_products, load_recipes
from recipes.model import Recipe
from tests.fakes import World

WHEELS = tuple(Wheel(name=name, version="1", sha256=("a" * 64,)) for name in ("ziglang", "x"))


def versions(recipes: dict[str, Recipe]) -> dict[str, str]:
    return {name: recipe.releases[0].version for name, recipe in recipes.items()}


@pytest.mark.parametrize("product", [product.name for product in list_products(load_recipes())])
def test_what_is_embedded_is_named_as_data(product: str) -> None:
    recipes = load_recipes()
    found = find_product(product, recipes)
    embedded = {need.partition(":")[0] for need in found.variant.embeds}
    parts = linked(found, versions(recipes), recipes, WHEELS, packed=False)
    assert {part.name for part in parts if part.role is Role.DATA} == embedded


@pytest.mark.parametrize("need", ["data", "data:raw", "data:made"])
def test_data_is_not_linked_with_what_made_it(tmp_path: Path, need: str) -> None:
    world = World(tmp_path)
    variants = '[variants.raw]\nsummary = "as it is"\nnative = true\n'
    variants += '[variants.made]\nsummary = "made"\nnative = true\nneeds = ["tls"]\n'
    world.add("tls", "library")
    world.add("data", "library", variants)
    world.add(
        "hello",
        "program",
        f'[variants.plain]\nsummary = "s"\nneeds = ["{need}"]\nembeds = ["{need}"]\n'
        "[variants.plain.expect]\nmax_size = 1\n",
    )
    recipes = world.load()
    parts = linked(find_product("hello", recipes), versions(recipes), recipes, WHEELS, packed=False)
    assert [(part.name, part.role, part.needs) for part in parts] == [
        ("data", Role.DATA, ()),
        ("hello", Role.PROGRAM, ("data",)),
    ]
