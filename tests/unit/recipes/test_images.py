"""`images.toml`: what stands in which image, and what is said about mistakes."""

from pathlib import Path, PurePosixPath

import pytest

from core.errors import RecipeError
from recipes.images import load_images
from recipes.load import load_recipes
from tests.fakes import World, small_world

TOOLS = """
[tools]
summary = "all of it"
tag = "{hello}"
packed = true
command = ["/bin/hello"]
directories = { "/tmp" = "1777" }
[[tools.contents]]
product = "hello:quiet"
path = "/bin/hello"
links = "hello/links.txt"
[[tools.contents]]
product = "data"
path = "/etc/data"
mode = "0644"
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return small_world(tmp_path)


def variants(world: World) -> list[str]:
    return [variant.name for variant in world.load()["hello"].variants]


def test_every_shipped_image_gets_a_tag_and_every_program_an_image() -> None:
    recipes = load_recipes()
    images = load_images(recipes)
    tags = []
    for image in images:
        versions = {file.recipe: "1.2.3" for file in image.contents}
        tags += [f"{image.name}:{image.tagged(versions, packed=form)}" for form in (True, False)]
        assert image.summary
    assert len(tags) == len(set(tags)), "two images would share a tag"
    assert {"static-curl:1.2.3-http", "probe:1.2.3", "probe:1.2.3-mini"} <= set(tags)
    assert "static-curl:1.2.3-http-upx" in tags


def test_moving_tags_follow_variants_and_one_of_them_is_the_latest() -> None:
    images = {image.label: image for image in load_images(load_recipes())}
    assert images["static-curl:http"].moved(packed=False) == ("http",)
    assert images["static-curl:https"].moved(packed=True) == ("https-upx", "latest-upx")
    assert images["probe"].moved(packed=False) == ("latest",)
    assert images["probe:mini"].moved(packed=False) == ("mini",)
    names = [
        f"{image.name}:{tag}" for image in images.values() for tag in image.moved(packed=False)
    ]
    assert len(names) == len(set(names)), "two images would share a moving tag"


def test_a_program_that_no_image_names_gets_a_plain_one(world: World) -> None:
    images = load_images(world.load(), world.recipes)
    assert [image.label for image in images] == [
        "hello",
        *(f"hello:{name}" for name in variants(world)[1:]),
    ]
    assert {image.contents[0].path for image in images} == {PurePosixPath("/hello")}
    assert {image.entrypoint for image in images} == {("/hello",)}


def test_a_composed_image(world: World) -> None:
    name = variants(world)[0]
    (world.recipes / "hello" / "links.txt").write_text("/bin/hi\n/usr/bin/ho\n")
    text = TOOLS.replace("hello:quiet", f"hello:{name}")
    (world.recipes / "images.toml").write_text(text)
    (image,) = load_images(world.load(), world.recipes)
    hello, data = image.contents
    assert hello.links == (PurePosixPath("/bin/hi"), PurePosixPath("/usr/bin/ho"))
    assert (data.recipe, data.mode) == ("data", 0o644)
    assert image.directories == {PurePosixPath("/tmp"): 0o1777}
    assert image.tagged({"hello": "2.0"}, packed=True) == "2.0"
    assert image.tagged({"hello": "2.0"}, packed=False) == "2.0-plain"


BROKEN = {
    "not toml": ("[tools]", "[tools", "images.toml"),
    "an unknown key": ("summary =", "sumary =", "'summary' is missing"),
    "no product": ('"data"', '"date"', "'date' is no product"),
    "a relative path": ('"/bin/hello"', '"bin/hello"', "is no absolute path"),
    "a path that leaves": ('"/etc/data"', '"/etc/../data"', "is no absolute path"),
    "no mode": ('"0644"', '"rw-r--r--"', "is no mode"),
    "a missing list of links": ("links.txt", "lonks.txt", "'links' cannot be read"),
    "a tag of what is not in it": ('"{hello}"', '"{curl}"', "names what is not in the image"),
    "no tag": ('"{hello}"', '"a b"', "which is none"),
    "no name for a repository": ("tools", "To ols", "images.toml"),
    "too much": ("packed = true", "packed = true\nsigned = true", "unknown key 'signed'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_an_image_is_refused(world: World, case: str) -> None:
    old, new, said = BROKEN[case]
    (world.recipes / "hello" / "links.txt").write_text("/bin/hi\n")
    text = TOOLS.replace("hello:quiet", f"hello:{variants(world)[0]}")
    assert old in text
    (world.recipes / "images.toml").write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=said.replace("'", ".")):
        load_images(world.load(), world.recipes)


def test_a_variant_that_does_not_exist_is_refused(world: World) -> None:
    text = '[x]\nsummary = "x"\neach = "hello"\npath = "/x"\nlatest = "loud"\n'
    (world.recipes / "images.toml").write_text(text)
    with pytest.raises(RecipeError, match="'loud' is no variant of hello"):
        load_images(world.load(), world.recipes)


def test_each_wants_a_program(world: World) -> None:
    (world.recipes / "images.toml").write_text('[x]\nsummary = "x"\neach = "tls"\npath = "/x"\n')
    with pytest.raises(RecipeError, match="which is no program"):
        load_images(world.load(), world.recipes)
