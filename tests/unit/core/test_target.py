"""Targets: a closed set of which everything is known."""

import re

import pytest

from core.errors import UsageError
from core.target import Target
from recipes.load import load_recipes
from recipes.model import Product

PROPERTIES = [name for name, value in vars(Target).items() if isinstance(value, property)]


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("name", PROPERTIES)
def test_every_target_answers_every_question(target: Target, name: str) -> None:
    answer = getattr(target, name)
    assert answer is not None
    assert answer != ""


@pytest.mark.parametrize("target", Target)
def test_a_name_leads_back_to_its_target(target: Target) -> None:
    assert Target.parse(target.value) is target


def test_file_names_of_targets_are_all_different() -> None:
    assert len({target.slug for target in Target}) == len(Target)
    assert all(re.fullmatch(r"[a-z0-9-]+", target.slug) for target in Target)


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("linux/arm46", "linux/arm64"),
        ("amd64", "linux/amd64"),
        ("linux/arm/v8", "linux/arm/v"),
        ("linux/x86", "linux/386"),
        ("riscv", "linux/riscv64"),
    ],
)
def test_an_unknown_target_is_met_with_a_guess(word: str, guess: str) -> None:
    with pytest.raises(UsageError, match=f"Unknown target '{word}'. Perhaps you meant '{guess}"):
        Target.parse(word)


@pytest.mark.parametrize("word", ["", "windows", "LINUX/AMD64"])
def test_what_is_no_target_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.parse(word)
    assert "linux/amd64" in caught.value.next


def test_this_machine_runs_its_own_programs() -> None:
    assert Target.native().runs_natively


def test_the_names_of_artifacts_are_the_contract() -> None:
    recipes = load_recipes()
    curl = recipes["curl"]
    https = curl.variant("https")
    assert https is not None
    product = Product(recipe=curl, variant=https)
    name = product.file_name("8.21.0", Target.ARM_V7, packed=True)
    assert str(name) == "files/curl-https-8.21.0-linux-arm-v7.upx"
