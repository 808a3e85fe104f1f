"""What is embedded is in the file, whatever made it."""

from pathlib import Path

import pytest

from builders.plan import needed_recipes
from publish.trust.components import Role, Wheel, linked, tools
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


@pytest.mark.parametrize("product", [product.name for product in list_products(load_recipes())])
def test_what_goes_into_a_build_is_in_the_file_or_a_tool(product: str) -> None:
    recipes = load_recipes()
    found = find_product(product, recipes)
    went_in = {recipe.name for recipe in needed_recipes([found], recipes)}
    inputs = {name: version for name, version in versions(recipes).items() if name in went_in}
    contents = linked(found, inputs, recipes, WHEELS, packed=True)
    ran = tools(inputs, recipes, contents)
    assert all((it.role, it.cpes) == (Role.TOOL, ()) for it in ran)
    carried = {it.name for recipe in recipes.values() for it in recipe.bill.carries}
    names = [it.name for it in (*ran, *contents) if it.name not in carried]
    assert sorted(names) == sorted(went_in)


def test_openssl_is_linked_into_curl_full_and_its_make_and_perl_are_tools() -> None:
    recipes = load_recipes()
    contents = linked(
        find_product("curl:full", recipes), versions(recipes), recipes, WHEELS, packed=False
    )
    names = ("curl", "openssl", "make", "perl")
    inputs = {name: version for name, version in versions(recipes).items() if name in names}
    (openssl,) = (it for it in contents if it.name == "openssl")
    assert (openssl.role, openssl.licence) == (Role.LIBRARY, "Apache-2.0")
    assert [it.name for it in tools(inputs, recipes, contents)] == ["make", "perl"]


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
