"""What `inv verify` unpacks a packed file with, as docs/verifying.md says it."""

from pathlib import Path

import pytest

from builders.outcome import Outcome
from builders.plan import Step, plan_step
from core.target import Target
from flow.context import Context
from flow.judge import FOREIGN, judge_file
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import Harness
from verify.packing import TRAILER_SIZE
from verify.verdict import Policy

PACKED = DIRECTORY / "packed"


def fake_upx(path: Path, unpacked: Path, packed: Path = PACKED) -> Path:
    """Write a program that unpacks and packs every file to the same one, and writes down what was asked of it."""
    path.parent.mkdir(exist_ok=True)
    script = f"""#!/bin/sh
echo "$*" >>{path}.log
made={packed}
[ "$2" != -d ] || made={unpacked}
while [ $# -gt 2 ]; do shift; done
exec /bin/cp $made "$1"
"""
    path.write_text(script, "utf-8")
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
    context.cache.put_action(outcome.key, outcome.entry(step.name))
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
    inside = {"no-interpreter", "no-needed", "elf-type"}
    found = {finding.rule for finding in verdict.findings}
    assert found == (set() if ok else inside if cached or machine else {"packed-contents"})
    # What is wrong inside is said with the name of the file, and that it is what was unpacked.
    shown = [finding.message.startswith("packed, unpacked: ") for finding in verdict.findings]
    assert all(shown) is (ok or found == inside)


def packed_by(directory: Path, method: int, level: int, filter_: int) -> Path:
    """Return the packed file with another pack header."""
    content = bytearray(PACKED.read_bytes())
    header = len(content) - TRAILER_SIZE
    content[header + 6 : header + 8] = bytes((method, level))
    content[header + 28] = filter_
    content[header + 31] = sum(content[header + 4 : header + 31]) % 251
    (directory / "given").write_bytes(content)
    return directory / "given"


@pytest.mark.parametrize(
    ("method", "level", "filter_", "words"),
    [
        (2, 10, 0, ["--best --nrv2b", "--best --nrv2b --no-filter"]),
        (3, 1, 0x50, ["-1 --nrv2b", "-1 --nrv2b --filter=0x50"]),
        (5, 9, 0x49, ["-9 --nrv2d", "-9 --nrv2d --filter=0x49"]),
        (8, 7, 0x49, ["-7 --nrv2e", "-7 --nrv2e --filter=0x49"]),
        (14, 10, 0x52, ["--best --lzma", "--best --lzma --filter=0x52"]),
        (15, 10, 0, []),  # no method for programs
        (0, 0, 0, []),
    ],
)
@pytest.mark.parametrize("same", [0, 1, None])
def test_a_packed_file_is_good_when_packing_again_gives_the_same_bytes(
    harness: Harness,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: int,
    level: int,
    filter_: int,
    words: list[str],
    same: int | None,
) -> None:
    """``same``: the try, of those that the pack header allows, at which UPX gives the same bytes again."""
    given = packed_by(tmp_path, method, level, filter_)
    upx = fake_upx(tmp_path / "programs" / "upx", DIRECTORY / "good-amd64", tmp_path / "again")
    monkeypatch.setenv("PATH", str(upx.parent))
    (tmp_path / "again").write_bytes(given.read_bytes() if same == 0 else b"another stub")
    if same == 1:
        text = upx.read_text("utf-8").replace("while", f"[ $# -ne 7 ] || made={given}\nwhile", 1)
        upx.write_text(text, "utf-8")
    verdict = judge_file(harness.context(), given, Policy())
    good = same is not None and same < len(words)
    assert verdict.ok is good
    found = [(finding.rule, finding.message) for finding in verdict.findings]
    assert found == ([] if good else [("packed-contents", FOREIGN)])
    asked = Path(f"{upx}.log").read_text("utf-8").splitlines()[1:]
    tried = words[: same + 1] if same is not None else words
    assert [line.partition(" -o ")[0] for line in asked] == [f"-q {line}" for line in tried]


def test_a_file_that_is_another_one_by_now_is_refused(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = packed_by(tmp_path, 8, 10, 0)
    upx = fake_upx(tmp_path / "programs" / "upx", DIRECTORY / "good-amd64", tmp_path / "copy")
    (tmp_path / "copy").write_bytes(given.read_bytes())
    text = upx.read_text("utf-8").replace("while", f"echo >>{given}\nwhile", 1)
    upx.write_text(text, "utf-8")
    monkeypatch.setenv("PATH", str(upx.parent))
    assert not judge_file(harness.context(), given, Policy())


def test_what_upx_cannot_unpack_is_refused(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upx = fake_upx(tmp_path / "programs" / "upx", tmp_path / "missing")
    monkeypatch.setenv("PATH", str(upx.parent))
    verdict = judge_file(harness.context(), PACKED, Policy())
    assert [finding.rule for finding in verdict.findings] == ["packed-contents"]


def test_a_packer_that_could_not_be_asked_says_nothing_of_the_file(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is gone after unpacking; on a busy machine it may take too long. The file is no foreign one for that."""
    upx = fake_upx(tmp_path / "programs" / "upx", DIRECTORY / "good-amd64")
    upx.write_text(upx.read_text("utf-8").replace("while", f"rm {upx}\nwhile", 1), "utf-8")
    monkeypatch.setenv("PATH", f"{upx.parent}:/bin:/usr/bin")
    (finding,) = judge_file(harness.context(), PACKED, Policy()).findings
    assert finding.rule == "packed-contents"
    assert finding.message.startswith("cannot tell whether it packs again to the same bytes: ")
