"""Rules that compare a file with what is expected of it."""

import re
from dataclasses import replace

import pytest

from core.errors import RecipeError
from core.target import Target
from recipes.model import Linkage
from tests.fixtures.make_elf import DIRECTORY
from verify.facts import read_facts
from verify.rules import RULES, verify_facts, verify_file
from verify.verdict import Policy

GOOD = DIRECTORY / "good-amd64"
PIE = DIRECTORY / "good-amd64-static-pie"
PACKED = DIRECTORY / "packed"


def broken(name: str, expectations: Policy) -> set[str]:
    return {finding.rule for finding in verify_file(DIRECTORY / name, expectations).findings}


def test_rule_names_are_unique_and_kebab_case() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_explains_itself_in_one_sentence(rule: object) -> None:
    explanation = getattr(rule, "explanation", "")
    assert re.fullmatch(r"[A-Z][^|\n]*\.", explanation)


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("good-amd64", Target.AMD64, set()),
        ("good-arm64", Target.ARM64, set()),
        ("good-386", Target.I386, set()),
        ("good-s390x", Target.S390X, set()),
        ("good-amd64", Target.ARM64, {"machine"}),
        ("good-amd64", Target.I386, {"machine", "elf-class"}),
        ("good-386", Target.AMD64, {"machine", "elf-class"}),
        ("good-amd64", Target.S390X, {"machine", "endianness"}),
        ("good-s390x", Target.PPC64LE, {"machine", "endianness"}),
        ("good-386", Target.S390X, {"machine", "elf-class", "endianness"}),
    ],
)
def test_a_file_must_be_for_the_target(name: str, target: Target, expected: set[str]) -> None:
    assert broken(name, Policy(target=target)) == expected


@pytest.mark.parametrize(
    ("name", "linkage", "good"),
    [
        ("good-amd64", Linkage.STATIC, True),
        ("good-amd64", Linkage.STATIC_PIE, False),
        ("good-amd64-static-pie", Linkage.STATIC_PIE, True),
        ("good-amd64-static-pie", Linkage.STATIC, False),
    ],
)
def test_an_executable_must_be_linked_as_expected(name: str, linkage: Linkage, good: bool) -> None:
    assert broken(name, Policy(linkage=linkage)) == (set() if good else {"elf-type"})


def test_the_size_budget_may_be_used_up_and_not_exceeded() -> None:
    size = GOOD.stat().st_size
    assert verify_file(GOOD, Policy(max_size=size))
    verdict = verify_file(GOOD, Policy(max_size=size - 1))
    assert [finding.rule for finding in verdict.findings] == ["size-budget"]
    assert not verify_file(GOOD, Policy(max_size=0))


@pytest.mark.parametrize(
    ("name", "packed", "expected"),
    [
        ("packed", True, set()),
        ("packed", None, set()),
        ("packed", False, {"packed-as-expected"}),
        ("good-amd64", False, set()),
        ("good-amd64", True, {"packed-as-expected"}),
        ("packed-then-stripped", True, {"packed-as-expected"}),
    ],
)
def test_a_file_must_be_packed_as_expected(
    name: str, packed: bool | None, expected: set[str]
) -> None:
    assert broken(name, Policy(packed=packed, unpacked_verified=True)) == expected


def test_a_packed_file_is_refused_until_what_is_inside_was_verified_too() -> None:
    assert not verify_file(PACKED, Policy(packed=True))
    assert verify_file(PACKED, Policy(packed=True, unpacked_verified=True))


def test_the_build_directories_of_a_recipe_are_looked_for() -> None:
    assert broken("good-run-time-paths", Policy()) == set()
    found = broken("good-run-time-paths", Policy(build_paths=("/etc/ssl",)))
    assert found == {"no-build-paths"}


def test_build_directories_that_nobody_looked_for_are_a_finding() -> None:
    verdict = verify_facts(read_facts(GOOD), Policy(build_paths=("/etc/ssl",)))
    assert [finding.rule for finding in verdict.findings] == ["no-build-paths"]


def test_a_build_directory_too_short_to_look_for_is_the_recipes_error() -> None:
    for directory in ("/b", "build", "/", ""):
        with pytest.raises(RecipeError, match="cannot be looked for"):
            verify_file(GOOD, Policy(build_paths=(directory,)))


def test_loadable_segments_must_fit_the_address_space_and_memory() -> None:
    facts = read_facts(GOOD)
    load = facts.segments[0]
    beyond = replace(load, vaddr=(1 << 64) - 0x1000, mem_size=0x2000)
    shrunk = replace(load, mem_size=load.file_size - 1)
    shifted = replace(load, vaddr=load.vaddr + 8)
    for segment, message in (
        (beyond, "address space"),
        (shrunk, "in memory"),
        (shifted, "page offset"),
    ):
        verdict = verify_facts(replace(facts, segments=(segment, facts.segments[1])), Policy())
        messages = [f.message for f in verdict.findings if f.rule == "loadable-segments"]
        assert any(message in line for line in messages)
