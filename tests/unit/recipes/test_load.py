"""Recipes: what cannot be written down, and what is said about it."""

from pathlib import Path

import pytest
from pysequoia import Cert

from core.errors import RecipeError, UsageError
from core.target import Target
from recipes.load import HERE, find_product, list_products, load_recipe, load_recipes
from recipes.model import Hardening, Linkage, RecipeKind
from tests.fakes import World, small_world

WHY = 'pie = "it is of the stone age"'
SHIPPED = sorted(path.parent.name for path in HERE.glob("*/recipe.toml"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return small_world(tmp_path)


def refusal(world: World) -> str:
    with pytest.raises(RecipeError) as caught:
        world.load()
    return str(caught.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_good(name: str) -> None:
    recipe = load_recipes()[name]
    assert recipe.releases
    assert recipe.variants
    for release in recipe.releases:
        assert release.licence
        assert release.epoch > 0


def test_shipped_programs_say_how_big_they_may_be_and_are_tried_out() -> None:
    for product in list_products(load_recipes()):
        assert product.variant.expect is not None
        assert product.variant.expect.max_size > 0
        assert product.recipe.smoke


def test_shipped_keys_are_those_of_the_recipes_signatures() -> None:
    recipes = load_recipes()
    with_keys = {name for name, recipe in recipes.items() if recipe.certificates.is_file()}
    assert with_keys >= {"busybox", "cpython", "curl", "musl"}
    for recipe in recipes.values():
        wanted = {release.signature.key for release in recipe.releases if release.signature}
        if recipe.name in with_keys:
            found = Cert.split_file(str(recipe.certificates))
            assert {certificate.fingerprint.upper() for certificate in found} == wanted
            assert "PRIVATE" not in recipe.certificates.read_text("utf-8")


def test_the_small_world_is_a_good_world(world: World) -> None:
    recipes = world.load()
    assert list(recipes) == ["data", "hello", "musl", "tls", "upx"]
    hello = recipes["hello"]
    assert hello.kind is RecipeKind.PROGRAM
    assert [release.version for release in hello.releases] == ["2.0", "1.0"]
    assert dict(hello.variants[0].switches) == {"COMMON": "1", "LOUD": "OFF"}
    assert hello.unsupported == {Target.LOONG64: "nobody says hello there"}
    assert recipes["tls"].variants[0].name == ""


def test_memory_is_written_in_megabytes_and_gigabytes(world: World) -> None:
    world.edit("tls", 'needs = ["musl"]', 'needs = ["musl"]\nmemory = "1500M"')
    world.edit("hello", 'summary = "says hello"', 'summary = "says hello"\nmemory = "2G"')
    recipes = world.load()
    assert recipes["tls"].variants[0].memory == 1500 << 20
    assert recipes["hello"].variants[0].memory == 2 << 30
    assert recipes["musl"].variants[0].memory == 0


def test_programs_are_position_independent_unless_the_recipe_says_why_not(world: World) -> None:
    before = world.load()["hello"]
    assert before.unhardened == {}
    assert {v.expect.linkage for v in before.variants if v.expect} == {Linkage.STATIC_PIE}
    world.edit(
        "hello", "[variants.plain.switches]", f"[unhardened]\n{WHY}\n[variants.plain.switches]"
    )
    after = world.load()["hello"]
    assert after.unhardened == {Hardening.PIE: "it is of the stone age"}
    assert {v.expect.linkage for v in after.variants if v.expect} == {Linkage.STATIC}
    world.edit("hello", "max_size = 100_000", 'max_size = 100_000\nlinkage = "static-pie"')
    assert "'linkage' is 'static-pie', and what is built is 'static'" in refusal(world)


def test_shipped_programs_are_hardened() -> None:
    for product in list_products(load_recipes()):
        assert product.recipe.unhardened == {}
        assert product.variant.expect
        assert product.variant.expect.linkage is Linkage.STATIC_PIE


BROKEN = {
    "unknown key": ('pack = "nrv"', 'pakc = "nrv"', "unknown key 'pakc'. Perhaps you meant 'pack'"),
    "unknown key of a release": (
        "licence =",
        "license =",
        "'licence' is missing. Perhaps 'license' is meant to be it.",
    ),
    "one key too many": (
        "unsigned =",
        'flavour = "sweet"\nunsigned =',
        "releases[0]: unknown key 'flavour'",
    ),
    "unknown key of a variant": (
        "[variants.plain.switches]",
        "[variants.plain.swiches]",
        "variants.plain: unknown key 'swiches'. Perhaps you meant 'switches'",
    ),
    "unknown expectation": (
        "max_size = 100_000",
        "max_size = 100_000\nprotocol = []",
        "unknown key 'protocol'. Perhaps you meant 'protocols'",
    ),
    "unused below": ("checks = true", 'unused = ["a/b"]', "'a/b' is no directory at the top"),
    "unused above": ("checks = true", 'unused = [".."]', "'..' is no directory at the top"),
    "no sha256": ("sha256 =", "md5 =", "'sha256' is missing"),
    "short sha256": ('sha256 = "', 'sha256 = "abc" # ', "sha256 must be 64 lower-case hex digits"),
    "no size": ("size = ", "length = ", "'size' is missing"),
    "size 0": ("size = ", "size = 0 # ", "size must be the file's exact size in bytes, not 0"),
    "size true": ("size = ", "size = true # ", "'size' must be a whole number, not True"),
    "no url": ("urls = [", "urls = [] # ", "nobody could fetch it"),
    "url that is a number": ("urls = [", "urls = [1] # ", "'urls' must be a list of strings"),
    "version not in the file name": ('version = "2.0"', 'version = "2.1"', "lacks '2.1'"),
    "empty version": ('version = "2.0"', 'version = ""', "lacks ''"),
    "file name with a directory": ('filename = "', 'filename = "../', "is not a plain file name"),
    "unsigned without saying so": ("unsigned =", "# unsigned =", "'unsigned' is missing"),
    "unsigned for no reason": (
        'unsigned = "nobody signs what exists only in tests"',
        'unsigned = ""',
        "'unsigned' must say why there is no signature",
    ),
    "key id in place of a fingerprint": (
        "unsigned =",
        'signature = { url = "https://x.invalid/s", key = "DB71E12C2" } #',
        "'DB71E12C2' is not an OpenPGP fingerprint",
    ),
    "unknown key of a signature": (
        "unsigned =",
        f'signature = {{ url = "x", key = "{"AB" * 20}", kye = "" }} #',
        "unknown key 'kye'. Perhaps you meant 'key'",
    ),
    "date with a time": (
        "date = 2026-01-02",
        "date = 2026-01-02T00:00:00",
        "'date' must be a date",
    ),
    "date in quotes": ("date = 2026-01-02", 'date = "2026-01-02"', "'date' must be a date"),
    "unknown kind": ('kind = "program"', 'kind = "programm"', "Perhaps you meant 'program'"),
    "unknown way to pack": ('pack = "nrv"', 'pack = "nvr"', "Perhaps you meant 'nrv'"),
    "unknown linkage": (
        "max_size = 100_000",
        'max_size = 100_000\nlinkage = "static-pei"',
        "Perhaps you meant 'static-pie'",
    ),
    "fixed address without a reason": (
        "max_size = 100_000",
        'max_size = 100_000\nlinkage = "static"',
        "'linkage' is 'static', and what is built is 'static-pie'",
    ),
    "unknown hardening": (
        "[variants.plain.switches]",
        '[unhardened]\nstack-protecter = "too large"\n[variants.plain.switches]',
        "Perhaps you meant 'stack-protector'",
    ),
    "unhardened for no reason": (
        "[variants.plain.switches]",
        '[unhardened]\nrelro = " "\n[variants.plain.switches]',
        "'unhardened.relro' must say why",
    ),
    "unhardened by a list": (
        "[variants.plain.switches]",
        "[unhardened]\nrelro = []\n[variants.plain.switches]",
        "'unhardened.relro' must be a string",
    ),
    "unknown need": ('needs = ["musl"]', 'needs = ["muls"]', "Perhaps you meant 'musl'"),
    "embeds what it does not need": (
        'embeds = ["data"]',
        'embeds = ["upx"]',
        "embeds upx without needing it",
    ),
    "trial of an unknown variant": (
        'args = ["--version"]',
        'args = ["--version"]\nvariants = ["secur"]',
        "'secur' is no variant. Perhaps you meant 'secure'",
    ),
    "switch with a space": ('LOUD = "OFF"', 'LOUD = "very OFF"', "is not one word"),
    "switch for the shell": ('LOUD = "OFF"', 'LOUD = "$(id)"', "is not one word"),
    "name of a switch with a space": ('LOUD = "OFF"', '"LO UD" = "OFF"', "is not one word"),
    "switch that is no string": ('LOUD = "OFF"', "LOUD = false", "switches.LOUD' must be a string"),
    "no TOML": ('name = "hello"', 'name = "hello', "not a TOML file"),
    "name of another directory": (
        'name = "hello"',
        'name = "hullo"',
        "not the directory's name 'hello'",
    ),
    "list in place of a table": ("[unsupported]", "[[unsupported]]", "must be a table"),
    "unknown target": (
        '"linux/loong64"',
        '"linux/loong46"',
        "Perhaps you meant 'linux/loong64'",
    ),
    "path in Debian that is no string": (
        "unsigned =",
        "debian = false\nunsigned =",
        "'debian' must be a string, not False",
    ),
    "rule that is empty": ('frozen = "it never moves"', 'rule = ""', "by which rule the pin moves"),
    "memory without a unit": (
        'summary = "says hello"',
        'summary = "says hello"\nmemory = "1500"',
        """'memory' must be like "1500M" or "2G", not '1500'""",
    ),
    "memory in parts of a unit": (
        'summary = "says hello"',
        'summary = "says hello"\nmemory = "1.5G"',
        "not '1.5G'",
    ),
    "memory beside variants": (
        'pack = "nrv"',
        'pack = "nrv"\nmemory = "1G"',
        "unknown key 'memory'",
    ),
    "pin that moves by no rule": ("frozen =", "because =", "by which rule the pin moves"),
    "frozen for no reason": ('frozen = "it never moves"', 'frozen = ""', "or why it is frozen"),
    "frozen, and moves": ("frozen =", 'rule = "pypi", frozen =', "or why it is frozen"),
    "unknown rule": ("frozen =", 'rule = "pipy" } #', "Perhaps you meant 'pypi'"),
    "unknown key of a rule": (
        "frozen =",
        'serie = "1", frozen =',
        "unknown key 'serie'. Perhaps you meant 'series'",
    ),
    "rule that leads nowhere": (
        "frozen =",
        'rule = "debian-or-upstream" } #',
        "there is no 'listing', and the newest release has no 'debian'",
    ),
    "package index without a package": ("frozen =", 'rule = "pypi" } #', "has no 'pypi'"),
    "listing that is no page": (
        "frozen =",
        'rule = "debian-or-upstream", listing = "curl.se" } #',
        "the listing 'curl.se' is no web page",
    ),
    "listing for the package index": (
        "frozen =",
        'rule = "pypi", listing = "https://x.invalid/" } #',
        "a listing belongs to the rule 'debian-or-upstream'",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_recipe_is_refused_by_name(world: World, old: str, new: str, said: str) -> None:
    world.edit("hello", old, new)
    message = refusal(world)
    assert said in message
    assert message.startswith(str(world.recipes / "hello" / "recipe.toml"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("releases", "[1]"), ("releases", '["x"]'), ("smoke", "[1]"), ("variants", "{ a = 1 }")],
)
def test_what_should_be_a_table_and_is_not_is_refused(tmp_path: Path, key: str, value: str) -> None:
    world = World(tmp_path)
    world.add("odd", "library")
    path = world.recipes / "odd" / "recipe.toml"
    text = path.read_text("utf-8")
    if key == "releases":
        text = text.partition("[[releases]]")[0]
    path.write_text(f"{key} = {value}\n{text}", "utf-8")
    assert "must be a table" in refusal(world)


@pytest.mark.parametrize("missing", ["build.sh", "checks.sh"])
def test_a_script_that_is_not_there_is_missed(world: World, missing: str) -> None:
    (world.recipes / "hello" / missing).unlink()
    assert f"{missing} is missing" in refusal(world)


def test_a_release_can_be_pinned_once_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add("odd", "library", versions=("1.0", "1.0"))
    assert "'1.0' is pinned twice" in refusal(world)


def test_recipes_cannot_need_each_other(world: World) -> None:
    world.edit("musl", 'kind = "library"', 'kind = "library"\nneeds = ["tls"]')
    assert "in a circle: " in refusal(world)


def test_packing_takes_a_packer(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add("odd", "library", 'pack = "nrv"\n')
    assert "'pack' needs the recipe 'upx'" in refusal(world)


def test_recipes_of_other_directories_are_added_and_can_need_ours(
    world: World, tmp_path: Path
) -> None:
    mine, theirs = World(tmp_path / "mine"), World(tmp_path / "theirs")
    mine.add("gzip", "library", 'needs = ["tls", "zip"]\n')
    theirs.add("zip", "library", 'needs = ["musl"]\n')
    recipes = load_recipes(world.recipes, mine.recipes, theirs.recipes, mine.recipes)
    assert list(recipes) == ["data", "gzip", "hello", "musl", "tls", "upx", "zip"]
    assert recipes["gzip"].directory == mine.recipes / "gzip"
    with pytest.raises(RecipeError, match="needs 'zip', which is no recipe"):
        load_recipes(world.recipes, mine.recipes)


def test_a_name_that_exists_twice_names_both_files(world: World, tmp_path: Path) -> None:
    mine = World(tmp_path / "mine")
    mine.add("tls", "library")
    with pytest.raises(RecipeError, match="Two recipes are called 'tls'") as caught:
        load_recipes(world.recipes, mine.recipes)
    for found in (world, mine):
        assert str(found.recipes / "tls" / "recipe.toml") in caught.value.what


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ("nowhere", "there is no such directory"),
        ("recipes/tls", "it is a recipe itself"),
        ("mirror", ""),
    ],
)
def test_a_directory_without_recipes_is_a_mistake(world: World, inside: str, why: str) -> None:
    with pytest.raises(RecipeError, match="holds no recipe") as caught:
        load_recipes(world.recipes, world.directory / inside)
    assert why in caught.value.why


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"recipe\.toml"):
        load_recipe(path)


def test_a_bare_name_is_the_first_variant(world: World) -> None:
    recipes = world.load()
    assert find_product("hello", recipes).name == "hello:plain"
    assert find_product("hello:secure", recipes).name == "hello:secure"


@pytest.mark.parametrize(
    ("word", "guess"),
    [("hello:secur", "hello:secure"), ("helo:plain", "hello:plain"), ("hello:plan", "hello:plain")],
)
def test_an_unknown_product_is_met_with_a_guess(world: World, word: str, guess: str) -> None:
    with pytest.raises(UsageError, match=f"Perhaps you meant '{guess}'") as caught:
        find_product(word, world.load())
    assert "hello:plain, hello:secure" in caught.value.next


def test_libraries_and_tools_are_no_products(world: World) -> None:
    with pytest.raises(UsageError):
        find_product("musl", world.load())
