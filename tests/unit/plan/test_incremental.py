"""What a change of our own recipes and of the probe's source leads to: no more than has to be made again."""

import re
import shutil
from pathlib import Path

import pytest

from builders.key import action_key
from builders.plan import Step, plan, topological_order
from core.target import Target
from flow.context import ROOT
from recipes.load import list_products, load_recipes
from tests.fakes import BuildHarness, fake_toolchain

TARGETS = (Target.AMD64, Target.ARM64)


class Checkout:
    """Our recipes and the probe, to be changed; and what would run again."""

    def __init__(self, directory: Path) -> None:
        unneeded = shutil.ignore_patterns("__pycache__")
        for name in ("recipes", "probe"):
            shutil.copytree(ROOT / name, directory / name, ignore=unneeded)
        self.directory = directory
        self.toolchain = fake_toolchain(directory / "toolchain")
        self.before = self.keys()

    def keys(self) -> dict[str, str]:
        """Every step's key; a step makes something else whenever its key is another."""
        recipes = load_recipes(self.directory / "recipes")
        products = [
            (product, target)
            for product in list_products(recipes)
            for target in TARGETS
            if target not in product.recipe.unsupported
        ]
        releases = {name: recipe.releases[0] for name, recipe in recipes.items()}
        found: dict[Step, str] = {}
        for step in topological_order(plan(products, recipes, releases, native=Target.AMD64)):
            inputs = {name: found[need] for name, need in step.needs}
            found[step] = action_key(step, inputs, self.toolchain)
        return {f"{step.product} {step.target} {step.stage}": key for step, key in found.items()}

    def again(self) -> set[str]:
        """The steps that would run again now."""
        now = self.keys()
        assert now.keys() == self.before.keys()
        return {name for name in now if now[name] != self.before[name]}

    def steps_of(self, *products: str) -> set[str]:
        """The steps of these products alone."""
        return {name for name in self.before if name.split()[0] in products}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_nothing_changed_nothing_runs(checkout: Checkout) -> None:
    assert checkout.again() == set()


@pytest.mark.parametrize("variant", ["mini", "http", "https"])
def test_a_switch_of_curl_leads_to_that_variant_s_steps_alone(
    checkout: Checkout, variant: str
) -> None:
    path = checkout.directory / "recipes" / "curl" / "recipe.toml"
    before, head, after = path.read_text("utf-8").partition(f"[variants.{variant}.switches]\n")
    assert head
    path.write_text(f'{before}{head}SOMETHING_NEW = "ON"\n{after}', "utf-8")
    again = checkout.again()
    assert again == checkout.steps_of(f"curl:{variant}")
    assert {name.split()[1] for name in again} == {target.value for target in TARGETS}


def test_the_probe_s_source_leads_to_no_python_being_built(checkout: Checkout) -> None:
    path = checkout.directory / "probe" / "cli.py"
    path.write_text(path.read_text("utf-8") + "\nMORE = 1\n", "utf-8")
    again = checkout.again()
    assert again == {name for name in checkout.before if re.match(r"probe\b", name)}
    assert not any(name.startswith(("cpython", "nuitka", "musl", "mbedtls")) for name in again)


def test_what_runs_again_is_what_the_keys_say(harness: BuildHarness) -> None:
    def build() -> list[str]:
        harness.engine.ran.clear()
        steps = topological_order(harness.world.plan("hello:plain", "hello:secure"))
        harness.run(steps, jobs=2)
        return sorted(harness.engine.ran)

    assert build()
    assert build() == []
    harness.world.edit("hello", 'LOUD = "OFF"', 'LOUD = "ON"')
    # The fake makes the same bytes again, so that nothing has to be packed again.
    assert build() == ["hello-plain-2.0-linux-amd64"]
