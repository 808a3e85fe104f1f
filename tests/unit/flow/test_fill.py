"""A link's map travels beside the program, and becomes a record of what fills it; the program does not depend on it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.side import LARGEST, MAP, settle
from builders.toolchain import BOX, INSIDE
from commands.clean import clean
from core.errors import StepError
from core.target import Target
from flow.build import Request, build
from publish.manifest import read_manifest
from records.fill import read_fill
from records.place import fill_path
from tests.fakes import Running
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import GOOD, Harness, hello
from verify.elf_file import open_elf
from verify.sections import read_sections

NAME = "hello-plain-2.0-linux-amd64"
HEAD = "             VMA              LMA     Size Align Out     In      Symbol\n"


def map_of(program: Path) -> str:
    """The map of a program that one object fills."""
    with open_elf(program) as elf:
        sections = read_sections(elf)
    assert not isinstance(sections, str)
    lines = [HEAD]
    for one in sections:
        if one.type != "SHT_NULL":
            numbers = f"{one.address:>16x} {one.address:>16x} {one.size:>8x} {1:>5} "
            lines.append(f"{numbers}{one.name}\n")
            lines.append(f"{numbers}        /box/needs/musl/lib/libc.a(all.o):({one.name})\n")
    return "".join(lines)


GOOD_MAP = map_of(DIRECTORY / "good-amd64-static-pie")


def with_map(text: str = GOOD_MAP) -> Callable[[Running], int]:
    """A script that leaves a map beside each program."""

    def script(running: Running) -> int:
        code = hello(running)
        plain = not running.step.endswith(("pack", "checks"))
        if running.step.startswith("hello") and plain:
            (running.out / "side").mkdir()
            running.make(MAP, text.encode())
        return code

    return script


def test_what_fills_a_program_is_recorded_once(harness: Harness) -> None:
    harness.engine.script = with_map()
    plain, packed = harness.build()
    assert harness.warnings == []
    assert harness.files() == [NAME, f"{NAME}.upx"]
    found = read_fill(harness.artifacts, NAME, plain.sha256)
    assert found is not None
    assert found.size == plain.size == len(GOOD)
    (library,) = found.libraries
    assert (library.name, library.recipe) == ("libc.a", "musl")
    # Of what is packed the linker knows nothing.
    assert [path.name for path in (harness.artifacts / "fill").iterdir()] == [f"{NAME}.json"]
    before = fill_path(harness.artifacts, NAME).stat()
    assert [one.cached for one in harness.build()] == [True, True]
    after = fill_path(harness.artifacts, NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert packed.packed


def test_it_is_made_again_from_the_cache(harness: Harness) -> None:
    harness.engine.script = with_map()
    (plain, _) = harness.build()
    first = fill_path(harness.artifacts, NAME).read_bytes()
    said = clean(harness.context(), cache=False)
    assert f"removed {harness.artifacts / 'fill'}" in said
    assert read_fill(harness.artifacts, NAME, plain.sha256) is None
    ran = list(harness.engine.ran)
    harness.build()
    assert harness.engine.ran == ran
    assert fill_path(harness.artifacts, NAME).read_bytes() == first


@pytest.mark.parametrize("text", ["", "no map\n", GOOD_MAP[:-1], HEAD, GOOD_MAP[: len(HEAD) + 60]])
def test_a_map_that_cannot_be_understood_is_said_and_harms_nothing(
    harness: Harness, text: str
) -> None:
    harness.engine.script = with_map(text)
    harness.build()
    assert harness.files() == [NAME, f"{NAME}.upx"]
    (warning,) = harness.warnings
    assert f"files/{NAME}: what fills it is not recorded" in warning
    assert not fill_path(harness.artifacts, NAME).exists()


def test_the_record_of_a_file_that_is_no_more_goes(harness: Harness) -> None:
    harness.engine.script = with_map()
    harness.build()
    assert fill_path(harness.artifacts, NAME).exists()
    other = (DIRECTORY / "good-amd64-static-pie").read_bytes() + bytes(8)

    def without_map(running: Running) -> int:
        code = hello(running)
        if running.step == NAME:
            running.make("hello", other)
        if running.step == f"{NAME}-pack":
            running.make("unpacked", other)
        return code

    harness.engine.script = without_map
    harness.build(rebuild=True, pack=False)
    assert (harness.artifacts / "files" / NAME).read_bytes() == other
    assert not fill_path(harness.artifacts, NAME).exists()


def test_what_is_beside_a_program_is_not_delivered_and_one_file_must_be_left(
    harness: Harness,
) -> None:
    def only_beside(running: Running) -> int:
        if running.step == NAME:
            (running.out / "side").mkdir()
            running.make(MAP, b"a map of nothing")
            return 0
        return hello(running)

    harness.engine.script = only_beside
    with pytest.raises(StepError, match="made nothing where one file is expected") as caught:
        harness.build()
    assert "$OUT/side" in caught.value.next


# --- paths -----------------------------------------------------------------------------------------


def test_paths_of_where_a_step_ran_do_not_stay(tmp_path: Path) -> None:
    side = tmp_path / "out" / "side"
    side.mkdir(parents=True)
    (side / "link.map").write_text("1 /here/now/needs/a.o /tools/x/lib /here/nowhere\n", "utf-8")
    (tmp_path / "out" / "program").write_text("/here/now/needs\n", "utf-8")
    settle(tmp_path / "out", root=Path("/here/now"), toolchain=Path("/tools/x"))  # type: ignore[arg-type]
    said = (side / "link.map").read_text("utf-8")
    assert said == f"1 {BOX}/needs/a.o {INSIDE}/lib /here/nowhere\n"
    assert (tmp_path / "out" / "program").read_text("utf-8") == "/here/now/needs\n"


def test_what_is_beside_a_program_has_a_limit(tmp_path: Path) -> None:
    side = tmp_path / "out" / "side"
    side.mkdir(parents=True)
    with (side / "link.map").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(StepError, match=r"'side/link\.map' in the output of the step has"):
        settle(tmp_path / "out", root=BOX, toolchain=INSIDE)


# --- sizes in the manifest -------------------------------------------------------------------------


def test_the_manifest_says_budget_anchors_and_what_gzip_makes(harness: Harness) -> None:
    def script(running: Running) -> int:
        code = hello(running)
        if running.step.startswith("data"):
            running.make("result", b"x" * 10_000)
        return code

    harness.engine.script = script
    harness.build("hello:plain")
    made = harness.build("hello:secure")
    rows = {(row.product, row.packed): row for row in read_manifest(harness.artifacts)}
    for packed in (False, True):
        plain, secure = rows["hello:plain", packed], rows["hello:secure", packed]
        assert (plain.budget, plain.anchors) == (100_000, 0)
        assert (secure.budget, secure.anchors) == (110_000, 10_000)
        data = (harness.artifacts / secure.path).read_bytes()
        assert secure.gzip == len(gzip.compress(data, 9, mtime=0))
        assert secure.gzip != secure.size
    assert [one.gzip for one in made] == [rows["hello:secure", it].gzip for it in (False, True)]


def test_a_size_that_the_manifest_knows_is_not_measured_again(harness: Harness) -> None:
    harness.build()
    path = harness.artifacts / "manifest.json"
    table = json.loads(path.read_text("utf-8"))
    for row in table["artifacts"]:
        row["gzip"] = 7
    path.write_text(json.dumps(table), "utf-8")
    assert [one.gzip for one in harness.build()] == [7, 7]


def test_a_target_without_a_bar_has_no_budget(harness: Harness) -> None:
    arm = (DIRECTORY / "good-arm64-static-pie").read_bytes()

    def script(running: Running) -> int:
        code = hello(running)
        if running.step == "hello-plain-2.0-linux-arm64":
            running.make("hello", arm)
        return code

    harness.engine.script = script
    request = Request(products=("hello:plain",), targets=(Target.ARM64,), pack=False)
    (made,) = build(harness.context(), request)
    assert made.budget is None
    assert made.anchors == 0
    assert made.gzip
