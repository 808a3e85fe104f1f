"""What `inv verify` unpacks a packed file with, as docs/verifying.md says it."""

from pathlib import Path

import pytest

from builders.build import Outcome
from builders.plan import Step, plan_step
from core.target import Target
from flow.context import Context
from flow.judge import judge_file
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import Harness
from verify.verdict import Policy

PACKED = DIRECTORY / "packed"


def fake_upx(path: Path, unpacked: Path) -> Path:
    """Write a program that unpacks every file to the same one: ``upx -q -d -o TO FROM``."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec /bin/cp {unpacked} "$4"\n', "utf-8")
    path.chmod(0o755)
    return path


def remember(context: Context, step: Step, file: Path) -> Outcome:
    """Put what a step and all that it needs made into the cache, as building it does."""
    inputs = {name: remember(context, need, file) for name, need in step.needs}
    blob = context.cache.put_file(file)
    outcome = Outcome(
        key=context.builder().key(step, inputs),
        output=blob,
        files={file.name: blob},
        engine="none",
        isolated=True,
        seconds=1,
        cached=False,
    )
    context.cache.put_action(outcome.key, outcome.entry(step))
    return outcome


def build(context: Context, upx: Path, age: int) -> None:
    """Put a UPX into the cache, built from releases as old as there are: 0 for the newest."""
    recipes, native = context.recipes, Target.native()
    releases = {
        name: recipe.releases[min(age, len(recipe.releases) - 1)]
        for name, recipe in recipes.items()
    }
    recipe = recipes["upx"]
    step = plan_step(
        recipe, recipe.variants[0], native, recipes=recipes, releases=releases, native=native
    )
    assert step.needs
    remember(context, step, upx)


@pytest.mark.parametrize("age", [0, 1])
@pytest.mark.parametrize(
    ("cached", "machine", "ok"),
    [
        ("good-amd64", "", True),
        ("good-amd64", "dynamic", True),
        ("", "good-amd64", True),
        ("", "dynamic", False),
        ("dynamic", "good-amd64", False),
        ("", "", False),
    ],
)
def test_a_packed_file_is_unpacked_by_our_upx_or_else_by_the_machine_s(
    harness: Harness,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cached: str,
    machine: str,
    ok: bool,
    age: int,
) -> None:
    context = harness.context()
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    if cached:
        build(context, fake_upx(tmp_path / "upx", DIRECTORY / cached), age)
    if machine:
        fake_upx(programs / "upx", DIRECTORY / machine)
    verdict = judge_file(context, PACKED, Policy())
    assert verdict.ok is ok
    assert [finding.rule for finding in verdict.findings] == ([] if ok else ["packed-contents"])
