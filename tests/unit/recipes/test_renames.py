"""Names that changed: what they mean now, and what a recipe cannot say of them."""

import tomllib

import pytest

from core.errors import RecipeError, UsageError
from flow.context import ROOT
from recipes.images import find_renamed_image, load_images
from recipes.load import find_product, list_products, load_recipes
from recipes.renames import Renamed, find_renamed, renames
from tests.fakes import World, small_world

ENTRY = '[[renamed]]\nwas = "{was}"\nnow = "{now}"\nuntil = "{until}"\n\n[unsupported]'


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return small_world(tmp_path_factory.mktemp("world"))


def rename(world: World, was: str, now: str, until: str = "0.2.0") -> None:
    world.edit("hello", "[unsupported]", ENTRY.format(was=was, now=now, until=until))


def test_an_old_name_is_the_product_that_had_it(world: World) -> None:
    rename(world, "tls", "secure")
    recipes = world.load()
    assert find_product("hello:tls", recipes).name == "hello:secure"
    assert [product.name for product in list_products(recipes)] == ["hello:plain", "hello:secure"]
    assert find_renamed("hello:tls", recipes) == Renamed(
        old="hello:tls", new="hello:secure", until="0.2.0"
    )
    assert find_renamed("hello:secure", recipes) is None


def test_a_name_that_another_one_has_now_is_that_one(world: World) -> None:
    rename(world, "plain", "secure")
    recipes = world.load()
    assert find_product("hello:plain", recipes).name == "hello:plain"
    assert find_product("hello", recipes).name == "hello:plain"
    renamed = find_renamed("hello:plain", recipes)
    assert renamed is not None
    assert (renamed.new, renamed.taken) == ("hello:secure", "says hello")


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("hello:entire", "Perhaps you meant 'hello:secure', which was 'hello:entirely'."),
        ("hello:secur", "Perhaps you meant 'hello:secure'."),
        ("nothing-like-it", ""),
    ],
)
def test_a_guess_knows_the_old_names(world: World, word: str, guess: str) -> None:
    rename(world, "entirely", "secure")
    with pytest.raises(UsageError) as caught:
        find_product(word, world.load())
    assert caught.value.what == f"Unknown product '{word}'. {guess}".rstrip()


def test_a_guess_at_a_name_that_is_taken_says_no_more(world: World) -> None:
    rename(world, "plain", "secure")
    with pytest.raises(UsageError) as caught:
        find_product("hello:plai", world.load())
    assert caught.value.what.endswith("Perhaps you meant 'hello:plain'.")


def test_an_image_is_known_by_its_old_name(world: World) -> None:
    (world.recipes / "images.toml").write_text(
        '[greeter]\nsummary = "says hello"\neach = "hello"\npath = "/hello"\nbare = "plain"\n'
    )
    rename(world, "tls", "secure")
    recipes = world.load()
    images = load_images(recipes, world.recipes)
    found = find_renamed_image("greeter:tls", images, recipes)
    assert found == Renamed(old="greeter:tls", new="greeter:secure", until="0.2.0")
    assert find_renamed_image("hello:tls", images, recipes) == find_renamed("hello:tls", recipes)
    for word in ("greeter", "greeter:secure", "other:tls", "tls"):
        assert find_renamed_image(word, images, recipes) is None


@pytest.mark.parametrize(
    ("was", "now", "until", "why"),
    [
        ("tls", "secur", "0.2.0", "'secur' is no variant. Perhaps you meant 'secure'."),
        ("secure", "secure", "0.2.0", "no change"),
        ("", "secure", "0.2.0", "no change"),
        ("tls", "secure", "soon", "'until' must be a release"),
        ("tls", "secure", "0.2", "'until' must be a release"),
    ],
)
def test_what_is_no_rename_is_refused(
    world: World, was: str, now: str, until: str, why: str
) -> None:
    rename(world, was, now, until)
    with pytest.raises(RecipeError) as caught:
        world.load()
    assert why in str(caught.value)
    assert "recipe.toml: renamed[0]" in str(caught.value)


def test_a_name_changes_once(world: World) -> None:
    rename(world, "tls", "secure")
    rename(world, "tls", "plain")
    with pytest.raises(RecipeError, match="a second one"):
        world.load()


def test_a_library_has_no_variants_that_users_know(world: World) -> None:
    path = world.recipes / "tls" / "recipe.toml"
    path.write_text(path.read_text() + '\n[[renamed]]\nwas = "a"\nnow = "b"\nuntil = "0.2.0"\n')
    with pytest.raises(RecipeError, match="'b' is no variant"):
        world.load()


def test_curl_full_is_curl_h2_or_another_one_by_now() -> None:
    recipes = load_recipes()
    renamed = find_renamed("curl:full", recipes)
    assert renamed is not None
    assert renamed.new == "curl:h2"
    assert find_product("curl:full", recipes).name in {"curl:full", "curl:h2"}
    assert bool(renamed.taken) == (find_product("curl:full", recipes).name == "curl:full")


def test_no_shipped_note_outlives_its_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    version = tuple(map(int, project.split(".")))
    for renamed in renames(load_recipes()):
        assert version < tuple(map(int, renamed.until.split("."))), f"{renamed.old}: remove it"
