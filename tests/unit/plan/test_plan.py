"""The plan: which steps there are, and in which order."""

from pathlib import Path

import pytest

from builders.plan import Stage, Step, needed_recipes, plan, topological_order
from core.errors import UsageError
from core.target import Target
from recipes.load import list_products, load_recipes
from tests.fakes import World, names, small_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return small_world(tmp_path)


def test_every_step_comes_after_what_it_needs(world: World) -> None:
    seen: set[Step] = set()
    for step in topological_order(world.plan("hello:plain", "hello:secure")):
        assert {need for _, need in step.needs} <= seen
        seen.add(step)


def test_what_products_share_is_planned_once(world: World) -> None:
    steps = names(topological_order(world.plan("hello:plain", "hello:secure", "hello:plain")))
    assert sorted(steps) == [
        "data 1.0",
        "hello 2.0 checks",
        "hello:plain 2.0",
        "hello:plain 2.0 pack",
        "hello:secure 2.0",
        "hello:secure 2.0 pack",
        "musl 1.0",
        "tls 1.0",
        "upx 1.0",
    ]


def test_a_step_sees_its_needs_by_name(world: World) -> None:
    (goals,) = world.plan("hello:secure")
    assert {name: step.recipe.name for name, step in goals.build.needs} == {
        "musl": "musl",
        "tls": "tls",
        "data": "data",
        "checks": "hello",
    }
    assert goals.pack is not None
    assert dict(goals.pack.needs)["plain"] is goals.build


def test_tools_are_built_for_the_machine_that_builds(world: World) -> None:
    (goals,) = world.plan("hello:plain", target=Target.ARM64, native=Target.AMD64)
    targets = {step.name: step.target for step in topological_order([goals])}
    assert targets["upx 1.0 linux/amd64"] is Target.AMD64
    assert targets["musl 1.0 linux/amd64"] is Target.AMD64  # the tool's own
    assert targets["musl 1.0 linux/arm64"] is Target.ARM64  # the program's
    assert targets["hello:plain 2.0 linux/arm64 pack"] is Target.ARM64


def test_a_tool_does_not_care_for_which_target_it_works(world: World) -> None:
    world.add("gen", "tool", '\n[unsupported]\n"linux/arm64" = "it is a tool"\n')
    world.edit("tls", 'needs = ["musl"]', 'needs = ["musl", "gen"]')
    (goals,) = world.plan("hello:secure", target=Target.ARM64, native=Target.AMD64)
    assert "gen 1.0 linux/amd64" in {step.name for step in topological_order([goals])}


def test_what_is_native_is_made_once_for_all_targets(world: World) -> None:
    world.edit("hello", 'needs = ["musl"]', 'needs = ["musl", "hello:made", "data"]')
    path = world.recipes / "hello" / "recipe.toml"
    made = '[variants.made]\nsummary = "made once"\nnative = true\nneeds = ["tls"]\n'
    path.write_text(path.read_text().replace("[unsupported]", f"{made}\n[unsupported]"))
    world.edit("data", "update =", "native = true\nupdate =")
    goals = [
        goal
        for target in (Target.ARM64, Target.S390X)
        for goal in world.plan("hello:plain", target=target, native=Target.AMD64)
    ]
    steps = [step.name for step in topological_order(goals)]
    assert [name for name in steps if "made" in name] == ["hello:made 2.0 linux/amd64"]
    assert [name for name in steps if "data" in name] == ["data 1.0 linux/amd64"]
    assert [name for name in steps if "tls" in name] == ["tls 1.0 linux/amd64"]
    assert "hello:made" not in [product.name for product in list_products(world.load())]


def test_an_unsupported_target_is_refused_with_the_reason(world: World) -> None:
    with pytest.raises(
        UsageError, match="hello cannot be built for linux/loong64: nobody says hello"
    ):
        world.plan("hello:plain", target=Target.LOONG64)


def test_an_unsupported_library_is_refused_as_well(world: World) -> None:
    path = world.recipes / "tls" / "recipe.toml"
    path.write_text(path.read_text() + '\n[unsupported]\n"linux/386" = "too small"\n')
    assert world.plan("hello:plain", target=Target.I386)
    with pytest.raises(UsageError, match="tls cannot be built for linux/386: too small"):
        world.plan("hello:secure", target=Target.I386)


def test_what_upx_cannot_pack_has_no_pack_step(world: World) -> None:
    (goals,) = world.plan("hello:plain", target=Target.S390X)
    assert goals.pack is None
    assert {step.stage for step in topological_order([goals])} == {Stage.BUILD, Stage.CHECKS}


def test_what_is_not_packed_needs_no_packer(world: World) -> None:
    world.edit("hello", 'pack = "nrv"', 'pack = "none"')
    (goals,) = world.plan("hello:plain")
    assert goals.pack is None
    recipes = needed_recipes([goals.product], world.load())
    assert [recipe.name for recipe in recipes] == ["hello", "musl"]


def test_sources_are_fetched_of_what_is_needed_and_nothing_else(world: World) -> None:
    plain, secure = world.plan("hello:plain", "hello:secure")
    recipes = world.load()
    assert [recipe.name for recipe in needed_recipes([plain.product], recipes)] == [
        "hello",
        "musl",
        "upx",
    ]
    assert [recipe.name for recipe in needed_recipes([secure.product], recipes)] == [
        "data",
        "hello",
        "musl",
        "tls",
        "upx",
    ]


def test_names_of_steps_make_good_file_names(world: World) -> None:
    for step in topological_order(world.plan("hello:secure")):
        assert not set("/: ") & set(step.slug)


@pytest.mark.parametrize("target", Target)
def test_every_shipped_product_can_be_planned_or_says_why_not(target: Target) -> None:
    recipes = load_recipes()
    releases = {name: recipe.releases[0] for name, recipe in recipes.items()}
    for product in list_products(recipes):
        one = [(product, target)]
        if any(target in recipe.unsupported for recipe in needed_recipes([product], recipes)):
            with pytest.raises(UsageError, match=f"cannot be built for {target}"):
                plan(one, recipes, releases, native=Target.AMD64)
        else:
            assert topological_order(plan(one, recipes, releases, native=Target.AMD64))
