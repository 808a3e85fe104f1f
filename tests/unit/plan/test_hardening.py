"""What every step is told for the safety of what it makes, and how a recipe and a target leave something out."""

from dataclasses import replace

import pytest

from builders.environment import environment
from builders.plan import Stage, Step
from builders.toolchain import Toolchain
from core.target import Target
from recipes.load import HERE, load_recipes
from recipes.model import Hardening, Recipe

TOOLCHAIN = Toolchain.installed(HERE)
EVERY = [(measure, target) for measure in Hardening for target in Target]


def told(recipe: Recipe, target: Target) -> dict[str, str]:
    step = Step(
        stage=Stage.BUILD,
        recipe=recipe,
        release=recipe.releases[0],
        variant=recipe.variants[0],
        target=target,
        needs=(),
    )
    return environment(step, TOOLCHAIN, ())


def flags(recipe: Recipe, target: Target) -> set[str]:
    given = told(recipe, target)
    return {*given["CFLAGS"].split(), *given["LDFLAGS"].split()}


@pytest.fixture(scope="module")
def curl() -> Recipe:
    return load_recipes()["curl"]


def test_every_measure_has_its_flags_and_says_what_it_is_for() -> None:
    assert set(TOOLCHAIN.hardening) == set(Hardening)
    for row in TOOLCHAIN.hardening.values():
        assert row.summary
        assert row.on or row.link
        assert all(row.unsupported.values())


@pytest.mark.parametrize(("measure", "target"), EVERY)
def test_a_measure_is_taken_unless_target_or_recipe_say_why_not(
    curl: Recipe, measure: Hardening, target: Target
) -> None:
    row = TOOLCHAIN.hardening[measure]
    on, off = {*row.on, *row.link}, {*row.off, *row.link_off}
    without = replace(curl, unhardened={measure: "a reason"})
    taken = target not in row.unsupported
    assert (on <= flags(curl, target)) is taken
    assert not off & flags(curl, target) or not taken
    assert not on & flags(without, target)
    assert off <= flags(without, target)
    # The others stay as they are.
    assert flags(curl, target) - on - off == flags(without, target) - on - off


@pytest.mark.parametrize("target", Target)
def test_the_linker_is_told_which_start_to_take(curl: Recipe, target: Target) -> None:
    assert told(curl, target)["LINKAGE"] == "-static-pie"
    fixed = replace(curl, unhardened={Hardening.PIE: "a reason"})
    assert told(fixed, target)["LINKAGE"] == "-no-pie"


@pytest.mark.parametrize("target", Target)
def test_what_is_locked_ends_where_the_largest_page_does(curl: Recipe, target: Target) -> None:
    assert f"-Wl,-z,common-page-size={target.machine.page}" in flags(curl, target)


def test_nothing_comes_after_the_flags_that_a_recipe_may_cut_off(curl: Recipe) -> None:
    # recipes/cpython and recipes/micropython make quick tools with what follows " -w ".
    cut = told(curl, Target.AMD64)["CFLAGS"].partition(" -w ")[2].split()
    assert {"-fPIE", "-fstack-protector-strong", "-ftrivial-auto-var-init=zero"} <= set(cut)


def test_the_c_library_is_built_without_what_it_sets_up_itself() -> None:
    musl = load_recipes()["musl"]
    assert set(musl.unhardened) == {Hardening.STACK_PROTECTOR}
    assert "-fno-stack-protector" in flags(musl, Target.AMD64)
