"""Policies are data: our own, those of users, and what is wrong with one is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import RecipeError, UsageError
from recipes.model import Linkage
from tests.fixtures.make_elf import ARM64, DF_1_PIE, DIRECTORY, DT_FLAGS_1, PIE, Program
from verify.policy import READABLE, find_policy, policy_names, summaries
from verify.rights import Rights
from verify.rules import OF_BYTES, OF_LIBRARIES, RULES, Look, verify_file
from verify.verdict import Needs, Policy, Severity

READ_GUARD = bytes.fromhex("64488b042528000000")
HARD = replace(PIE, dynamic=((DT_FLAGS_1, DF_1_PIE | 1),), strings=READ_GUARD)


def found(tmp_path: Path, program: Program, policy: str = "hardened") -> dict[str, Severity]:
    path = tmp_path / "file"
    path.write_bytes(program.build())
    path.chmod(0o755)
    verdict = verify_file(path, find_policy(policy))
    return {finding.rule: finding.severity for finding in verdict.findings}


def test_our_own_policies_say_what_they_are_for() -> None:
    assert policy_names() == ("hardened", "minimal", "static")
    assert all(text.endswith(".") for text in summaries().values())


def test_static_is_what_is_asked_when_nobody_asks_for_more() -> None:
    assert find_policy("static") == Policy()


@pytest.mark.parametrize(
    ("program", "rule"),
    [
        (HARD, None),
        (replace(HARD, relro=False), "full-relro"),
        (replace(HARD, dynamic=PIE.dynamic), "full-relro"),
        (replace(HARD, strings=b""), "stack-protector"),
        (replace(HARD, dynamic=(*HARD.dynamic, (22, 0))), "no-text-relocations"),
        (replace(HARD, type=2, base=0x400000), "static-pie"),
    ],
)
def test_hardened_asks_for_each_measure(tmp_path: Path, program: Program, rule: str | None) -> None:
    errors = {name for name, level in found(tmp_path, program).items() if level is Severity.ERROR}
    assert errors == ({rule} if rule else set())
    static = found(tmp_path, program, "static").values()
    assert Severity.ERROR not in static


def test_hardened_says_where_a_stripped_file_cannot_show_its_guard(tmp_path: Path) -> None:
    got = found(tmp_path, replace(HARD, machine=ARM64, strings=b""))
    assert got == {"stack-protector-seen": Severity.WARNING}


def test_hardened_refuses_rights_of_which_static_only_warns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(HARD.build())
    for name, ok in (("hardened", False), ("static", True)):
        verdict = verify_file(path, find_policy(name), Look(rights=Rights(setuid=True)))
        assert verdict.ok is ok
        assert [finding.message for finding in verdict.findings] == ["is setuid"]


@pytest.mark.parametrize(
    ("name", "ok"),
    [
        ("good-amd64", True),
        ("unstripped", True),
        ("debug-info", True),
        ("build-paths", True),
        ("stack-missing", True),
        ("rwx-segment", True),
        ("dynamic", False),
        ("needed-no-interpreter", False),
        ("interpreter-no-needed", False),
        ("shared-library", False),
        ("object-file", False),
        ("entry-outside", False),
        ("packed", False),
        ("freebsd", False),
    ],
)
def test_minimal_asks_only_whether_it_starts(name: str, ok: bool) -> None:
    assert verify_file(DIRECTORY / name, find_policy("minimal")).ok is ok


def test_a_file_of_a_user_changes_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'summary = "Ours."\nbased-on = "hardened"\nmax-size = 4096\nlinkage = "static-pie"\npacked = false\n'
        '[rules]\nno-symbols = "warning"\nstack-protector = "off"\n'
    )
    policy = find_policy(str(path))
    assert policy.name == "mine"
    assert (policy.max_size, policy.linkage, policy.packed) == (4096, Linkage.STATIC_PIE, False)
    assert policy.needs is Needs.NOTHING
    assert policy.levels["no-symbols"] is Severity.WARNING
    assert policy.levels["stack-protector"] is None
    assert policy.levels["full-relro"] is Severity.ERROR
    verdict = verify_file(DIRECTORY / "unstripped", policy)
    assert {f.rule: f.severity for f in verdict.findings}["no-symbols"] is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'summary' is missing"),
        ('summary = ""\nrelro = "error"', "unknown key 'relro'"),
        ('summary = ""\n[rules]\nno-symbol = "off"', "Perhaps you meant 'no-symbols'"),
        ('summary = ""\n[rules]\nno-symbols = "maybe"', "cannot be 'maybe'"),
        ('summary = ""\n[rules]\nno-symbols = 1', "cannot be 1"),
        ('summary = ""\n[rules]\nno-symbols = []', r"cannot be \[\]"),
        ('summary = ""\n[rules]\nreadable-elf = "off"', "always an error"),
        ('summary = ""\nbased-on = "hardend"', "Perhaps you meant 'hardened'"),
        ('summary = ""\nneeds = "all"', "'needs' cannot be 'all'"),
        ("summary = ", "Invalid value"),
        ('summary = ""\nmax-size = true', "must be a whole number"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_with_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        find_policy(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["hardend", "missing.toml", "a/b"])
def test_a_policy_that_does_not_exist_is_the_command_line_s_fault(name: str) -> None:
    with pytest.raises(UsageError, match="hardened"):
        find_policy(name)


def test_rules_that_are_told_apart_are_rules() -> None:
    names = {rule.name for rule in RULES}
    assert names >= OF_BYTES | OF_LIBRARIES
    assert RULES[0].name == READABLE
    for policy in map(find_policy, policy_names()):
        assert set(policy.levels) <= names, policy.name
