"""Verdicts and smoke runs as data: what is written is what is read, and nothing else is."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.target import Target
from recipes.load import find_product, load_recipes
from recipes.model import Linkage
from verify.actions import LARGEST, Judgement, NoProofError, Trial
from verify.policy import find_policy
from verify.verdict import Severity

POLICY = replace(
    find_policy("hardened"),
    target=Target.ARM_V7,
    linkage=Linkage.STATIC_PIE,
    max_size=100,
    packed=True,
    unpacked_verified=True,
    build_paths=("/box",),
    levels={"size": None, "relro": Severity.WARNING},
)
JUDGEMENT = Judgement(file="a" * 64, unpacked="b" * 64, original="c" * 64, policy=POLICY)
PRODUCT = find_product("curl:https", load_recipes())
TRIAL = Trial.of("a" * 64, PRODUCT, PRODUCT.recipe.releases[0], Target.ARM64)


def test_what_is_written_is_what_is_read() -> None:
    assert Judgement.read(JUDGEMENT.json()) == JUDGEMENT
    assert Judgement.read(JUDGEMENT.json()).key == JUDGEMENT.key
    plain = Judgement(file="a" * 64, unpacked=None, original="a" * 64, policy=find_policy("static"))
    assert Judgement.read(plain.json()) == plain
    assert plain.inputs == ("a" * 64,)
    assert Trial.read(TRIAL.json()) == TRIAL
    assert Trial.read(TRIAL.json()).key == TRIAL.key
    assert Trial.read(replace(TRIAL, expect=None).json()).expect is None


def test_every_part_is_in_the_key() -> None:
    others = [
        replace(JUDGEMENT, file="d" * 64),
        replace(JUDGEMENT, unpacked=None),
        replace(JUDGEMENT, original="d" * 64),
        replace(JUDGEMENT, policy=replace(POLICY, max_size=101)),
        replace(JUDGEMENT, policy=replace(POLICY, levels={})),
    ]
    assert len({one.key for one in [JUDGEMENT, *others]}) == len(others) + 1
    trials = [
        replace(TRIAL, file="d" * 64),
        replace(TRIAL, product="curl:mini"),
        replace(TRIAL, version="1"),
        replace(TRIAL, target=Target.AMD64),
        replace(TRIAL, tests=TRIAL.tests[1:]),
        replace(TRIAL, expect=None),
    ]
    assert len({one.key for one in [TRIAL, *trials]}) == len(trials) + 1


Change = Callable[[dict[str, Any]], object]

BAD_JUDGEMENTS: dict[str, Change] = {
    "a file that is no digest": lambda j: j.update(file="../x"),
    "a file that is a number": lambda j: j.update(file=1),
    "no original": lambda j: j.update(original=None),
    "a field more": lambda j: j.update(more=1),
    "a field less": lambda j: j.pop("unpacked"),
    "no policy": lambda j: j.update(policy=None),
    "a policy with more": lambda j: j["policy"].update(more=1),
    "unknown needs": lambda j: j["policy"].update(needs="all"),
    "a level that is none": lambda j: j["policy"]["levels"].update(size="fatal"),
    "levels in a list": lambda j: j["policy"].update(levels=[]),
    "another target": lambda j: j["policy"].update(target="linux/vax"),
    "a size in words": lambda j: j["policy"].update(max_size="1"),
    "a size that is true": lambda j: j["policy"].update(max_size=True),
    "packed in words": lambda j: j["policy"].update(packed="no"),
    "verified unknown": lambda j: j["policy"].update(unpacked_verified=None),
    "a path that is a number": lambda j: j["policy"].update(build_paths=[1]),
}


@pytest.mark.parametrize("what", BAD_JUDGEMENTS)
def test_no_other_judgement_is_read(what: str) -> None:
    table = json.loads(JUDGEMENT.json())
    BAD_JUDGEMENTS[what](table)
    with pytest.raises(NoProofError):
        Judgement.read(json.dumps(table))


BAD_TRIALS: dict[str, Change] = {
    "a file that is no digest": lambda t: t.update(file="x"),
    "a product in a directory": lambda t: t.update(product="../curl:mini"),
    "no product": lambda t: t.update(product=":mini"),
    "a product with a new line": lambda t: t.update(product="a\nb"),
    "a version that is a number": lambda t: t.update(version=8),
    "another target": lambda t: t.update(target="linux/vax"),
    "no tests": lambda t: t.update(tests=None),
    "a test that is text": lambda t: t["tests"].append("x"),
    "a test with more": lambda t: t["tests"][0].update(more=1),
    "arguments in one": lambda t: t["tests"][0].update(args="-V"),
    "an argument with NUL": lambda t: t["tests"][0].update(args=["a\0b"]),
    "a code in words": lambda t: t["tests"][0].update(code="0"),
    "expectations in a list": lambda t: t.update(expect=[]),
    "a linkage that is none": lambda t: t["expect"].update(linkage="dynamic"),
}


@pytest.mark.parametrize("what", BAD_TRIALS)
def test_no_other_smoke_run_is_read(what: str) -> None:
    table = json.loads(TRIAL.json())
    BAD_TRIALS[what](table)
    with pytest.raises(NoProofError):
        Trial.read(json.dumps(table))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, " " * (LARGEST + 1)])
def test_what_is_nothing_at_all_is_not_read(text: str) -> None:
    for kind in (Judgement, Trial):
        with pytest.raises(NoProofError):
            kind.read(text)
