"""What has to run, and in which order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from graphlib import TopologicalSorter

from core.errors import UsageError
from core.target import Target
from recipes.model import PackMethod, Product, Recipe, RecipeKind, Release, Variant, find_need

SYSROOT = "musl"
"""The recipe that every step which compiles is built on."""


class Stage(StrEnum):
    """What a step does for its recipe."""

    CHECKS = "checks"
    """Ask the platform questions that all variants share."""
    BUILD = "build"
    PACK = "pack"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node of the plan. Equal steps are the same step."""

    stage: Stage
    recipe: Recipe
    release: Release
    variant: Variant
    target: Target
    needs: tuple[tuple[str, "Step"], ...]
    """Name as the script sees it (``NEED_<NAME>``), and the step that makes it."""

    @property
    def product(self) -> str:
        """``curl:http``, or the recipe's name alone where the variant has none."""
        return ":".join(filter(None, (self.recipe.name, self.variant.name)))

    @cached_property  # every look into a table of steps asks for it
    def name(self) -> str:
        """``curl:http 8.21.0 linux/amd64``, with the stage where it is not the build."""
        stage = "" if self.stage is Stage.BUILD else f" {self.stage.value}"
        return f"{self.product} {self.release.version} {self.target.value}{stage}"

    @property
    def slug(self) -> str:
        return self.name.replace("/", "-").replace(":", "-").replace(" ", "-")

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A product for a target, with the release that will be built."""

    product: Product
    release: Release
    target: Target
    build: Step
    pack: Step | None


def plan(
    products: Iterable[tuple[Product, Target]],
    recipes: Mapping[str, Recipe],
    releases: Mapping[str, Release],
    *,
    native: Target,
    pack: bool = True,
) -> tuple[Goal, ...]:
    """Return what to build for each product and target.

    ``releases`` says which release of each recipe, ``native`` where tools run; without ``pack`` nothing is packed,
    whatever the recipe says. Raises UsageError for a target that a recipe does not support, with the recipe's reason.
    """

    build = partial(plan_step, recipes=recipes, releases=releases, native=native)
    goals: list[Goal] = []
    for product, target in products:
        made = build(product.recipe, product.variant, target)
        packing = None
        packs = pack and product.recipe.pack is not PackMethod.NONE
        if packs and target not in product.recipe.unpackable:
            upx = recipes["upx"]
            packing = Step(
                stage=Stage.PACK,
                recipe=product.recipe,
                release=made.release,
                variant=product.variant,
                target=target,
                needs=(("plain", made), ("upx", build(upx, upx.variants[0], native))),
            )
        goals.append(
            Goal(product=product, release=made.release, target=target, build=made, pack=packing)
        )
    return tuple(goals)


def plan_step(
    recipe: Recipe,
    variant: Variant,
    target: Target,
    *,
    recipes: Mapping[str, Recipe],
    releases: Mapping[str, Release],
    native: Target,
) -> Step:
    """Return the step that builds a variant for a target, on top of all that it needs.

    Raises UsageError for a target that one of the recipes does not support, with its reason.
    """
    target = native if recipe.kind is RecipeKind.TOOL or variant.native else target
    if target in recipe.unsupported:
        reason = recipe.unsupported[target]
        msg = f"{recipe.name} cannot be built for {target}: {reason}"
        raise UsageError(msg, next="inv list shows what can")
    build = partial(plan_step, recipes=recipes, releases=releases, native=native)
    needs = [(need, build(*_need(need, recipes), target)) for need in variant.needs]
    release = releases[recipe.name]
    if recipe.checks:
        sysroot = tuple((name, step) for name, step in needs if step.recipe.name == SYSROOT)
        names = tuple(name for name, _ in sysroot)
        checks = Step(
            stage=Stage.CHECKS,
            recipe=recipe,
            release=release,
            variant=Variant(name="", summary="", needs=names),  # all variants share it
            target=target,
            needs=sysroot,
        )
        needs.append(("checks", checks))
    return Step(
        stage=Stage.BUILD,
        recipe=recipe,
        release=release,
        variant=variant,
        target=target,
        needs=tuple(needs),
    )


def needed_recipes(
    products: Iterable[Product], recipes: Mapping[str, Recipe], *, pack: bool = True
) -> tuple[Recipe, ...]:
    """Return every recipe that these products take part of, with ``pack`` the packer included; by name."""
    found: dict[str, Recipe] = {}

    def visit(recipe: Recipe, variant: Variant) -> None:
        found[recipe.name] = recipe
        for need in variant.needs:
            visit(*_need(need, recipes))

    for product in products:
        visit(product.recipe, product.variant)
        if pack and product.recipe.pack is not PackMethod.NONE:
            visit(recipes["upx"], recipes["upx"].variants[0])
    return tuple(found[name] for name in sorted(found))


def topological_order(goals: Iterable[Goal]) -> tuple[Step, ...]:
    """Return every step once, each after what it needs."""
    sorter: TopologicalSorter[Step] = TopologicalSorter()

    def add(step: Step) -> None:
        needs = [need for _, need in step.needs]
        sorter.add(step, *needs)
        for need in needs:
            add(need)

    for goal in goals:
        for step in filter(None, (goal.build, goal.pack)):
            add(step)
    return tuple(sorter.static_order())


def _need(name: str, recipes: Mapping[str, Recipe]) -> tuple[Recipe, Variant]:
    found = find_need(name, recipes)
    assert found, f"the loader let '{name}' pass"
    return found
