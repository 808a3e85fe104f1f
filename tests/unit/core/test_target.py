"""Targets: a closed set of which everything is known."""

import dataclasses
import platform
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from core.errors import UsageError
from core.target import Machine, Target
from recipes.load import find_product, load_recipes

ROOT = Path(__file__).parents[3]
FACTS = [field.name for field in dataclasses.fields(Machine) if field.name != "platform"]


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("name", FACTS)
def test_every_target_answers_every_question(target: Target, name: str) -> None:
    answer = getattr(target.machine, name)
    assert answer is not None
    assert answer != "" or name == "runs_on"
    assert target.slug
    assert target.runs_natively in {True, False}


def test_what_a_machine_calls_itself_means_one_target() -> None:
    names = [name for target in Target for name in target.machine.uname]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("target", Target)
def test_a_machine_knows_its_own_target(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in target.machine.uname:
        monkeypatch.setattr(platform, "machine", lambda name=name: name.upper())
        assert Target.native() is target


def test_an_unknown_machine_has_to_name_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "mips64")
    with pytest.raises(UsageError, match="'mips64'") as caught:
        Target.native()
    assert "--target" in caught.value.next


def test_an_amd64_machine_runs_386_programs_and_no_other_way_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert [target for target in Target if target.runs_natively] == [Target.AMD64, Target.I386]
    monkeypatch.setattr(platform, "machine", lambda: "i686")
    assert [target for target in Target if target.runs_natively] == [Target.I386]


def test_the_action_knows_the_machines_of_every_target() -> None:
    """The action's script has no Python: its table of machines is compared with ours."""
    path = re.search(r'bash "\$ACTION/(\S+)"', (ROOT / "action.yml").read_text("utf-8"))
    assert path
    script = (ROOT / path[1]).read_text("utf-8")
    arms = re.findall(r"^\s+(\S+)\) echo (linux/\S+) ;;$", script, re.MULTILINE)
    assert [target for _, target in arms] == list(Target)
    for target in Target:
        named = [arm for pattern, arm in arms if fnmatch(target.machine.uname[0], pattern)]
        assert named == [target]


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
    product = find_product("curl:https", recipes)
    name = product.file_name("8.21.0", Target.ARM_V7, packed=True)
    assert str(name) == "files/curl-https-8.21.0-linux-arm-v7.upx"
