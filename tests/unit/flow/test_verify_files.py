"""What `inv verify` unpacks a packed file with, as docs/verifying.md says it."""

from pathlib import Path

import pytest

from builders.key import action_key
from builders.plan import Stage, Step
from commands.verify import judge_file
from core.target import Target
from flow.context import Context
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


def build(context: Context, upx: Path) -> None:
    """Put a UPX into the cache, as building it does."""
    recipe = context.recipes["upx"]
    step = Step(
        stage=Stage.BUILD,
        recipe=recipe,
        release=recipe.releases[-1],
        variant=recipe.variants[0],
        target=Target.native(),
        needs=(),
    )
    blob = context.cache.put_file(upx)
    key = action_key(step, {}, context.toolchain)
    context.cache.put_action(key, {"files": {"upx": blob}})


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
) -> None:
    context = harness.context()
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    if cached:
        build(context, fake_upx(tmp_path / "upx", DIRECTORY / cached))
    if machine:
        fake_upx(programs / "upx", DIRECTORY / machine)
    verdict = judge_file(context, PACKED, Policy())
    assert verdict.ok is ok
    assert [finding.rule for finding in verdict.findings] == ([] if ok else ["packed-contents"])
